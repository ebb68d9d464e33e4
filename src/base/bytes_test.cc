#include "base/bytes.h"

#include <gtest/gtest.h>

namespace plimsoll {
namespace {

TEST(ParseSize, ReadsWhatUsersWrite) {
  EXPECT_EQ(ParseSize("123")->bytes, 123U);
  EXPECT_EQ(ParseSize("64k")->bytes, 64 * kKiB);
  EXPECT_EQ(ParseSize("512M")->bytes, 512 * kMiB);
  EXPECT_EQ(ParseSize("8G")->bytes, 8 * kGiB);
  EXPECT_EQ(ParseSize("1.5GiB")->bytes, kGiB + kGiB / 2);
  EXPECT_EQ(ParseSize("2TB")->bytes, 2048 * kGiB);
  EXPECT_EQ(ParseSize("25%")->Resolve(400), 100U);
}

TEST(ParseSize, RefusesNonsenseByName) {
  for (const char* text : {"", "G", "8X", "-1G", "8GG", "1e30G", "nan", "0%", "-5%", "8 G"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().kind, ErrorKind::kUsage);
    EXPECT_NE(size.error().message.find(text), std::string::npos) << size.error().message;
  }
}

TEST(FormatBytes, ThreeSignificantDigits) {
  EXPECT_EQ(FormatBytes(17), "17 B");
  EXPECT_EQ(FormatBytes(512 * kMiB), "512 MiB");
  EXPECT_EQ(FormatBytes(8 * kGiB), "8.00 GiB");
  EXPECT_EQ(FormatBytes(kGiB * 149 / 2), "74.5 GiB");
}

}  // namespace
}  // namespace plimsoll
