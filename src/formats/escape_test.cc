#include "formats/escape.h"

#include <gtest/gtest.h>

namespace plimsoll::formats {
namespace {

TEST(EscapeTest, PlainTextStays) {
  EXPECT_EQ(Escape("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(Escape("Ġcafé 水 🚢"), "Ġcafé 水 🚢");
}

TEST(EscapeTest, NothingThatMovesATerminalPasses) {
  EXPECT_EQ(Escape("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(Escape("\x1b[31m"), "\\x1b[31m");
  EXPECT_EQ(Escape(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(Escape("\u009b"
                   "2J"),
            "\\u{9b}2J");
  EXPECT_EQ(Escape("\u202egnp"), "\\u{202e}gnp");
  EXPECT_EQ(Escape("a\\n"), "a\\\\n");
}

TEST(EscapeTest, BytesThatAreNoUtf8AreShownAsBytes) {
  EXPECT_EQ(Escape("\xff"), "\\xff");
  EXPECT_EQ(Escape("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Escape("\xe2\x82"), "\\xe2\\x82");           // cut short
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(Escape("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(EscapeTest, LongTextIsCutBetweenCharacters) {
  EXPECT_EQ(Escape("abcdef", 4), "abcd…");
  EXPECT_EQ(Escape("abcd", 4), "abcd");
  EXPECT_EQ(Escape("éééé", 3), "éé…");
}

}  // namespace
}  // namespace plimsoll::formats
