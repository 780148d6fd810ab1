#include "resilience/correlation_id.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>
#include <string>

namespace resilience {
namespace {

TEST(CorrelationId, WhatNeedsNoEscapingIsAccepted) {
  for (const char* good : {"a", "order-7", "A.b_c:d-9", "00-0af7651916cd43dd8448eb211c80319c"}) {
    EXPECT_TRUE(is_correlation_id(good)) << good;
  }
  EXPECT_TRUE(is_correlation_id(std::string(128, 'x')));
}

TEST(CorrelationId, AnythingElseIsNot) {
  for (const char* bad : {"", "a b", "a\nb", "a\r\nX-Evil: 1", "\xc3\xbc", "a/b", "<a>"}) {
    EXPECT_FALSE(is_correlation_id(bad)) << bad;
  }
  EXPECT_FALSE(is_correlation_id(std::string(129, 'x')));
  EXPECT_FALSE(is_correlation_id(std::string_view("a\0b", 3)));
}

TEST(CorrelationIds, EachIsNewAndAcceptable) {
  CorrelationIds ids;
  std::set<CorrelationIds::Id> seen;
  for (int i = 0; i < 10'000; ++i) {
    const CorrelationIds::Id id = ids.next();
    EXPECT_TRUE(is_correlation_id({id.data(), id.size()}));
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 10'000U);
  EXPECT_NE(CorrelationIds().next(), CorrelationIds().next());
}

TEST(CorrelationIds, AForkedProcessHasASequenceOfItsOwn) {
  CorrelationIds ids;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const CorrelationIds::Id id = ids.next();
    _exit(write(ends[1], id.data(), id.size()) == static_cast<ssize_t>(id.size()) ? 0 : 1);
  }
  CorrelationIds::Id of_child{};
  ASSERT_EQ(read(ends[0], of_child.data(), of_child.size()), static_cast<ssize_t>(of_child.size()));
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_NE(ids.next(), of_child);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace
}  // namespace resilience
