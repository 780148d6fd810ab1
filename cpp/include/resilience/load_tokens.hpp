// Generations: whether a value being loaded may still be stored when the load ends.
//
// A load takes a token when it starts. Invalidating a key, a tag or everything is given the next number of
// one sequence, and remembered while a load is running that began before it; a token is good for a key and
// its tags as long as none of them was invalidated after it. Keys and tags are 64-bit hashes: a collision can
// only make a load store nothing. What is remembered is bounded: beyond kMostRemembered all running loads are
// void.
//
// Thread-safety: none. Complexity: O(1) expected, forgetting amortised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>

namespace resilience {

class LoadTokens {
 public:
  using Token = std::uint64_t;
  static constexpr std::size_t kMostRemembered = 65'536;

  // A load starts. Each begin() is followed by one end() with the same token.
  [[nodiscard]] Token begin() {
    ++running_[sequence_];
    return sequence_;
  }
  void end(Token token);

  void invalidate_key(std::uint64_t key_hash) { note(keys_, key_hash); }
  void invalidate_tag(std::uint64_t tag_hash) { note(tags_, tag_hash); }
  void invalidate_all() {
    all_ = ++sequence_;
    keys_.clear();
    tags_.clear();
  }

  [[nodiscard]] bool valid(Token token, std::uint64_t key_hash,
                           std::span<const std::uint64_t> tag_hashes) const;
  [[nodiscard]] bool idle() const noexcept { return running_.empty(); }
  [[nodiscard]] std::size_t remembered() const noexcept { return keys_.size() + tags_.size(); }

 private:
  using Log = std::unordered_map<std::uint64_t, Token>;

  void note(Log& log, std::uint64_t hash);
  void forget();

  Token sequence_ = 0;
  Token all_ = 0;
  std::map<Token, std::size_t> running_;  // tokens in use, with how many loads hold each
  Log keys_;                              // when each was last invalidated
  Log tags_;
  std::size_t forget_at_ = 64;
};

}  // namespace resilience
