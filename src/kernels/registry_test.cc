#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

using ::testing::HasSubstr;

TEST(Registry, RefIsFirstAndAlwaysSupported) {
  ASSERT_FALSE(AllKernelSets().empty());
  EXPECT_EQ(AllKernelSets().front()->name, "ref");
  EXPECT_TRUE(AllKernelSets().front()->supported());
}

TEST(Registry, WithoutANameTheLastSupportedSetIsChosen) {
  const KernelSet* fastest = nullptr;
  for (const KernelSet* set : AllKernelSets()) {
    fastest = set->supported() ? set : fastest;
  }
  const auto selected = SelectKernelSet();
  ASSERT_TRUE(selected);
  EXPECT_EQ(*selected, fastest);
}

TEST(Registry, ANameSelectsThatSetOrSaysWhyNot) {
  for (const KernelSet* set : AllKernelSets()) {
    const auto selected = SelectKernelSet(set->name);
    ASSERT_EQ(selected.has_value(), set->supported());
    if (selected) {
      EXPECT_EQ(*selected, set);
    } else {
      EXPECT_EQ(selected.error().kind, ErrorKind::kUsage);
      EXPECT_THAT(selected.error().message, HasSubstr("this CPU"));
    }
  }
}

TEST(Registry, AnUnknownNameListsTheKnownOnes) {
  const auto selected = SelectKernelSet("mmx");
  ASSERT_FALSE(selected);
  EXPECT_EQ(selected.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(selected.error().message, HasSubstr("ref, avx2, avx512"));
}

}  // namespace
}  // namespace plimsoll::kernels
