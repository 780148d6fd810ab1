#include "resilience/load_tokens.hpp"

#include <algorithm>

namespace resilience {

void LoadTokens::end(Token token) {
  const auto found = running_.find(token);
  if (found != running_.end() && --found->second == 0) {
    running_.erase(found);
  }
  if (running_.empty()) {
    keys_.clear();
    tags_.clear();
  }
}

bool LoadTokens::valid(Token token, std::uint64_t key_hash, std::span<const std::uint64_t> tag_hashes) const {
  const auto invalidated = [token](const Log& log, std::uint64_t hash) {
    const auto found = log.find(hash);
    return found != log.end() && found->second > token;
  };
  return all_ <= token && !invalidated(keys_, key_hash) &&
         std::ranges::none_of(tag_hashes, [&](std::uint64_t tag) { return invalidated(tags_, tag); });
}

void LoadTokens::note(Log& log, std::uint64_t hash) {
  if (running_.empty()) {
    return;  // nobody can hold an older token
  }
  log.insert_or_assign(hash, ++sequence_);
  if (remembered() >= forget_at_) {
    forget();
  }
}

void LoadTokens::forget() {
  const Token oldest = running_.begin()->first;
  const auto before_all_loads = [oldest](const auto& entry) { return entry.second <= oldest; };
  std::erase_if(keys_, before_all_loads);
  std::erase_if(tags_, before_all_loads);
  if (remembered() >= kMostRemembered) {
    invalidate_all();
  }
  forget_at_ = std::max<std::size_t>(64, 2 * remembered());
}

}  // namespace resilience
