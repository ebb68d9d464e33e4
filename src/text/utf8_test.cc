#include "text/utf8.h"

#include <gtest/gtest.h>

namespace plimsoll::text {
namespace {

TEST(Utf8, DecodesWhatItAppends) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) {
      continue;
    }
    std::string text;
    AppendUtf8(c, text);
    const DecodedChar decoded = DecodeChar(text);
    ASSERT_TRUE(decoded.valid) << c;
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, text.size());
  }
}

TEST(Utf8, PassesIllFormedBytesOneByOne) {
  for (const std::string_view bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xC3"}) {
    const DecodedChar c = DecodeChar(bad);
    EXPECT_FALSE(c.valid);
    EXPECT_EQ(c.length, 1u);
    EXPECT_EQ(c.code_point, kReplacementCharacter);
    EXPECT_FALSE(IsValidUtf8(bad));
  }
  EXPECT_TRUE(IsValidUtf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"));
}

TEST(Utf8, FindsTheIncompleteSuffix) {
  EXPECT_EQ(IncompleteSuffix(""), 0u);
  EXPECT_EQ(IncompleteSuffix("abc"), 0u);
  EXPECT_EQ(IncompleteSuffix("a\xC3"), 1u);
  EXPECT_EQ(IncompleteSuffix("a\xE2\x82"), 2u);
  EXPECT_EQ(IncompleteSuffix("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(IncompleteSuffix("\xF0\x9F\x98\x80"), 0u);
  EXPECT_EQ(IncompleteSuffix("\xE0\x80"), 0u) << "overlong: no byte can complete it";
  EXPECT_EQ(IncompleteSuffix("\xED\xA0"), 0u) << "a surrogate: no byte can complete it";
  EXPECT_EQ(IncompleteSuffix("\xF4\x90"), 0u) << "above U+10FFFF";
  EXPECT_EQ(IncompleteSuffix("\x80\x80"), 0u);
}

}  // namespace
}  // namespace plimsoll::text
