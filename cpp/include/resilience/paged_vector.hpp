// A vector whose large blocks are pages of their own rather than part of the heap.
//
// Tables that grow by moving leave holes behind. In the heap those stay with the process: a cache of half a
// million entries kept a third of its memory in them, more or less by what was allocated around it. Pages go
// back at once.
//
// Thread-safety: that of std::vector. Complexity: that of std::vector, and a system call for each large
// block.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define RESILIENCE_HAS_PAGES 1
#endif

namespace resilience {

template <typename T>
class PageAllocator {
 public:
  using value_type = T;

  PageAllocator() noexcept = default;
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): the standard wants it implicit
  PageAllocator(const PageAllocator<U>& /*other*/) noexcept {}

  [[nodiscard]] T* allocate(std::size_t count) {
#ifdef RESILIENCE_HAS_PAGES
    if (is_large(count)) {
      void* pages =
          mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (pages == MAP_FAILED) {
        throw std::bad_alloc();
      }
      return static_cast<T*>(pages);
    }
#endif
    return std::allocator<T>().allocate(count);
  }

  void deallocate(T* block, std::size_t count) noexcept {
#ifdef RESILIENCE_HAS_PAGES
    if (is_large(count)) {
      munmap(block, count * sizeof(T));
      return;
    }
#endif
    std::allocator<T>().deallocate(block, count);
  }

  friend bool operator==(const PageAllocator& /*left*/, const PageAllocator& /*right*/) noexcept {
    return true;
  }

 private:
  static constexpr std::size_t kLeastBytes =
      std::size_t{64} * 1024;  // below it the heap reuses what it is given back

  static bool is_large(std::size_t count) noexcept { return count >= kLeastBytes / sizeof(T); }
};

template <typename T>
using PagedVector = std::vector<T, PageAllocator<T>>;

}  // namespace resilience
