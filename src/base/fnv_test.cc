#include "base/fnv.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

// From the authors' list of test vectors.
TEST(Fnv1a, IsThePublishedFunction) {
  EXPECT_EQ(Fnv1a(""), 0xCBF29CE484222325U);
  EXPECT_EQ(Fnv1a("a"), 0xAF63DC4C8601EC8CU);
  EXPECT_EQ(Fnv1a("foobar"), 0x85944171F73967E8U);
}

}  // namespace
}  // namespace plimsoll
