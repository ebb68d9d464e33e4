#include "engine/group_limit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::engine {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(GroupLimit, WithoutOneEveryLineIsAllowed) { EXPECT_TRUE(CheckGroupAllows(UINT64_MAX, {})); }

TEST(GroupLimit, ALineThatLeavesTheReserveIsAllowedAndNoneAbove) {
  const io::MemoryFacts facts = {
      .cgroup_limit = 500 * kMiB, .cgroup_used = 430 * kMiB, .process_bytes = 400 * kMiB};
  EXPECT_TRUE(CheckGroupAllows(404 * kMiB, facts));
  EXPECT_TRUE(CheckGroupAllows(404 * kMiB + 100, facts)) << "the kernel cuts limits to whole pages";
  const auto refused = CheckGroupAllows(405 * kMiB, facts);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_THAT(refused.error().message, HasSubstr("a line of 405 MiB"));
  EXPECT_THAT(refused.error().message, HasSubstr("limit of 500 MiB, of which 96.0 MiB are kept"));
  EXPECT_THAT(refused.error().message, HasSubstr("--memory 404M"));
  EXPECT_THAT(refused.error().message, Not(HasSubstr("others")));
}

TEST(GroupLimit, WhatOthersInTheGroupUseIsNotForTheLine) {
  const io::MemoryFacts facts = {.cgroup_limit = 500 * kMiB, .cgroup_used = 200 * kMiB};
  EXPECT_TRUE(CheckGroupAllows(236 * kMiB, facts));
  const auto refused = CheckGroupAllows(237 * kMiB, facts);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              HasSubstr("264 MiB are kept for what is not under the line (200 MiB are in use by"));
  EXPECT_THAT(refused.error().message, HasSubstr("--memory 204M")) << "they may need more";
}

TEST(GroupLimit, WhereNoLineFitsNoneIsProposed) {
  const auto refused = CheckGroupAllows(100 * kMiB, {.cgroup_limit = 90 * kMiB});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::EndsWith("\nraise the limit"));
}

}  // namespace
}  // namespace plimsoll::engine
