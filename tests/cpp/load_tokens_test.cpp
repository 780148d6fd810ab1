#include "resilience/load_tokens.hpp"

#include <gtest/gtest.h>

#include <array>

namespace resilience {
namespace {

constexpr std::array<std::uint64_t, 2> kTags{70, 71};

TEST(LoadTokens, ALoadMayStoreWhenNothingWasInvalidatedSinceItBegan) {
  LoadTokens tokens;
  tokens.invalidate_all();
  tokens.invalidate_key(1);
  const auto token = tokens.begin();
  EXPECT_TRUE(tokens.valid(token, 1, kTags));
}

TEST(LoadTokens, InvalidatingItsKeyItsTagOrEverythingForbidsTheStore) {
  LoadTokens tokens;
  const auto first = tokens.begin();
  tokens.invalidate_key(1);
  EXPECT_FALSE(tokens.valid(first, 1, {}));
  EXPECT_TRUE(tokens.valid(first, 2, kTags));
  tokens.invalidate_tag(71);
  EXPECT_FALSE(tokens.valid(first, 2, kTags));
  const auto second = tokens.begin();
  EXPECT_TRUE(tokens.valid(second, 1, kTags));
  tokens.invalidate_all();
  EXPECT_FALSE(tokens.valid(second, 3, {}));
}

TEST(LoadTokens, ForgetsEverythingWhenNoLoadRuns) {
  LoadTokens tokens;
  const auto token = tokens.begin();
  tokens.invalidate_key(1);
  EXPECT_EQ(tokens.remembered(), 1U);
  tokens.end(token);
  EXPECT_EQ(tokens.remembered(), 0U);
  tokens.invalidate_key(2);
  EXPECT_EQ(tokens.remembered(), 0U);
  EXPECT_TRUE(tokens.idle());
}

TEST(LoadTokens, OneLoadThatNeverEndsCannotMakeItsMemoryGrow) {
  LoadTokens tokens;
  const auto hung = tokens.begin();
  for (std::uint64_t key = 0; key < 200'000; ++key) {
    const auto token = tokens.begin();
    tokens.invalidate_key(key);
    tokens.end(token);
    ASSERT_LE(tokens.remembered(), 2 * LoadTokens::kMostRemembered);
  }
  EXPECT_FALSE(tokens.valid(hung, 3, {}));
  EXPECT_FALSE(tokens.valid(hung, 1'000'000, {})) << "void as a whole rather than wrongly good";
}

}  // namespace
}  // namespace resilience
