#include "resilience/tag_index.hpp"

#include <algorithm>

namespace resilience {

void TagIndex::attach(Slot slot, std::span<const std::uint64_t> tags) {
  for (auto tag = tags.begin(); tag != tags.end(); ++tag) {
    if (std::find(tags.begin(), tag, *tag) != tag) {
      continue;  // named twice
    }
    const std::uint32_t link = take_link();
    const auto [head, first] = first_entry_.try_emplace(*tag, kNone);
    const auto [chain, alone] = first_tag_.try_emplace(slot, kNone);
    links_[link] = {*tag, slot, kNone, head->second, chain->second};
    if (head->second != kNone) {
      links_[head->second].previous_of_tag = link;
    }
    head->second = link;
    chain->second = link;
  }
}

void TagIndex::detach(Slot slot) noexcept {
  const auto chain = first_tag_.find(slot);
  if (chain == first_tag_.end()) {
    return;
  }
  for (std::uint32_t at = chain->second; at != kNone;) {
    Link& link = links_[at];
    if (link.next_of_tag != kNone) {
      links_[link.next_of_tag].previous_of_tag = link.previous_of_tag;
    }
    if (link.previous_of_tag != kNone) {
      links_[link.previous_of_tag].next_of_tag = link.next_of_tag;
    } else if (link.next_of_tag != kNone) {
      first_entry_[link.tag] = link.next_of_tag;
    } else {
      first_entry_.erase(link.tag);
    }
    const std::uint32_t next = link.next_of_slot;
    link.next_of_slot = free_;
    free_ = at;
    at = next;
  }
  first_tag_.erase(chain);
}

Slot TagIndex::any(std::uint64_t tag) const {
  const auto found = first_entry_.find(tag);
  return found == first_entry_.end() ? kNoSlot : links_[found->second].slot;
}

void TagIndex::clear() {
  links_ = {};
  free_ = kNone;
  first_entry_.clear();
  first_tag_.clear();
}

std::uint32_t TagIndex::take_link() {
  if (free_ != kNone) {
    const std::uint32_t link = free_;
    free_ = links_[link].next_of_slot;
    return link;
  }
  links_.emplace_back();
  return static_cast<std::uint32_t>(links_.size() - 1);
}

}  // namespace resilience
