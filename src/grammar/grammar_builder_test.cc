#include "grammar/grammar_builder.h"

#include <string>

#include <gtest/gtest.h>

#include "base/sanitized.h"

namespace plimsoll::grammar {
namespace {

// Whether a rule without repetition says exactly `text`; how many bytes each way of saying a
// beginning of it takes.
std::vector<size_t> Ends(const Grammar& grammar, const Symbol& symbol, const std::string& text,
                         size_t at) {
  if (symbol.kind == Symbol::Kind::kBytes) {
    const bool fits =
        at < text.size() && grammar.byte_sets[symbol.index].test(static_cast<uint8_t>(text[at]));
    return fits ? std::vector<size_t>{at + 1} : std::vector<size_t>{};
  }
  std::vector<size_t> ends;
  for (const Sequence& sequence : grammar.rules[symbol.index].alternatives) {
    std::vector<size_t> here = {at};
    for (const Symbol& part : sequence) {
      std::vector<size_t> next;
      for (const size_t from : here) {
        const std::vector<size_t> more = Ends(grammar, part, text, from);
        next.insert(next.end(), more.begin(), more.end());
      }
      here = std::move(next);
    }
    ends.insert(ends.end(), here.begin(), here.end());
  }
  return ends;
}

// By the rules of RFC 3629, written down apart from the builder's.
std::string EncodeForTest(uint32_t code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
    return text;
  }
  const int n_tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t mark[] = {0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(mark[n_tail] | code >> (6 * n_tail));
  for (int i = n_tail - 1; i >= 0; --i) {
    text += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
  }
  return text;
}

TEST(GrammarBuilder, CharactersAreTheRangeInUtf8AndNothingElse) {
  constexpr uint32_t kStride = kSanitized ? 997 : 61;
  const std::vector<std::pair<uint32_t, uint32_t>> ranges = {
      {0, 0x10FFFF},        {'a', 'z'},      {0x7F, 0x80},      {0x7FF, 0x800},
      {0xD000, 0xE010},     {0x3B1, 0x3C9},  {0xFFFF, 0x10000}, {0x1F600, 0x1F64F},
      {0x10FFFF, 0x10FFFF}, {0x41, 0x1F9FF}, {0x0FFF, 0x2001},  {0x10FFF, 0x42001}};
  for (const auto& [first, last] : ranges) {
    GrammarBuilder builder{{}};
    const Symbol symbol = builder.Characters(first, last);
    const RuleId root = builder.Declare();
    builder.Add(root, {symbol});
    const Grammar grammar = builder.Finish(root);
    const auto check = [&](uint32_t code) {
      const std::string text = EncodeForTest(code);
      const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
      const auto ends = Ends(grammar, symbol, text, 0);
      const bool is_said = ends == std::vector<size_t>{text.size()};
      EXPECT_EQ(is_said, code >= first && code <= last && !is_surrogate) << first << " " << code;
      EXPECT_TRUE(is_said || ends.empty());
    };
    for (uint32_t code = 0; code <= 0x10FFFF; code += code < 0x900 ? 1 : kStride) {
      check(code);
    }
    for (const uint32_t near : {first, last, first - 1, last + 1}) {
      if (near <= 0x10FFFF) {
        check(near);
      }
    }
  }
}

TEST(GrammarBuilder, EqualSetsAreStoredOnce) {
  GrammarBuilder builder{{}};
  EXPECT_EQ(builder.Byte('a'), builder.Byte('a'));
  Sequence text;
  builder.AppendText(text, "abba");
  EXPECT_EQ(text.size(), 4U);
  EXPECT_EQ(builder.Finish(builder.Declare()).byte_sets.size(), 2U);
}

TEST(GrammarBuilder, ARepetitionOfARepetitionHasARuleOfItsOwn) {
  GrammarBuilder builder{{}};
  const Symbol pair = builder.Repeat(builder.Byte('a'), 2, 2);
  EXPECT_EQ(pair.kind, Symbol::Kind::kBytes);
  const Symbol some = builder.Repeat(pair, 0, kUnbounded);
  EXPECT_EQ(some.kind, Symbol::Kind::kRule);
  EXPECT_EQ(some.max, kUnbounded);
  const Symbol none = builder.Repeat(pair, 0, 0);
  const Grammar grammar = builder.Finish(none.index);
  EXPECT_EQ(grammar.rules[some.index].alternatives, std::vector<Sequence>({{pair}}));
  EXPECT_EQ(grammar.rules[none.index].alternatives, std::vector<Sequence>({{}}));
}

TEST(GrammarBuilder, StopsToGrowAtItsLimit) {
  GrammarBuilder builder{{.max_symbols = 10}};
  const RuleId rule = builder.Declare();
  for (int i = 0; i < 100; ++i) {
    builder.Add(rule, {builder.Byte('a')});
  }
  EXPECT_TRUE(builder.is_full());
  EXPECT_LE(builder.Finish(rule).rules[rule].alternatives.size(), 5U);
}

}  // namespace
}  // namespace plimsoll::grammar
