#include "grammar/regex.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/recognizer.h"
#include "grammar/text_language.h"

namespace plimsoll::grammar {
namespace {

struct RegexCase {
  std::string pattern;
  std::vector<std::string> says;
  std::vector<std::string> refuses;
};

TEST(Regex, SaysWholeTexts) {
  const std::vector<RegexCase> cases = {
      {"", {""}, {"a"}},
      {"abc", {"abc"}, {"ab", "abcd", "xabc"}},
      {"^abc$", {"abc"}, {"xabc"}},
      {"a|b|", {"a", "b", ""}, {"ab"}},
      {"(?:ab|c)+d?", {"ab", "cab", "abd"}, {"d", ""}},
      {"[a-c]{2,3}", {"ab", "ccc"}, {"a", "abca", "ad"}},
      {"a{0}b", {"b"}, {"ab"}},
      {"(a{2}){2}", {"aaaa"}, {"aaa", "aaaaaa"}},
      {"(a?){3}", {"", "a", "aaa"}, {"aaaa"}},
      {"(a*)*", {"", "aaaa"}, {"b"}},
      {"(a+)+b", {"ab", "aaaab"}, {"b", "aaa"}},
      {".", {"x", "é", "😀"}, {"\n", "", "xx", "\xFF"}},
      {"[^]", {"x", "\n", "😀"}, {""}},
      {R"([\s\S]*)", {"", "a\nb"}, {"\x80"}},
      {R"(\d\D\w\W\s\S)", {"1a_- x"}, {"11_- x"}},
      {R"(\x41\u0042\u{43}\cJ\0\/\.\-)", {std::string("ABC\n\0/.-", 8)}, {"ABC"}},
      {R"(\ud83d\ude00)", {"😀"}, {""}},
      {R"([\]\\\b-])", {"]", "\\", "\b", "-"}, {"b"}},
      {R"([a\d-])", {"a", "7", "-"}, {"b"}},
      {R"(\p{Lu}\P{Lu}\p{gc=Nd})", {"Éa1", "Aé٣"}, {"aa1", "AAa"}},
      {R"(\p{Letter}+)", {"aé日"}, {"1"}},
      {"(?<year>\\d{4})", {"2024"}, {"24"}},
      {"a+?b*?c??", {"a", "abc"}, {"b"}},
      {"日{2}", {"日日"}, {"日"}},
      {"a-b,c:\"", {"a-b,c:\""}, {}},
  };
  for (const RegexCase& one : cases) {
    const auto grammar = CompileRegex(one.pattern);
    ASSERT_TRUE(grammar.has_value()) << one.pattern << ": " << grammar.error().message;
    const auto tree = ParseRegex(one.pattern, RegexScope::kWhole, {});
    TextLanguage language;
    ASSERT_TRUE(language.Require(*tree).has_value());
    for (const std::string& text : one.says) {
      EXPECT_TRUE(Says(*grammar, text)) << one.pattern << ": " << text;
      EXPECT_TRUE(language.Contains(text)) << one.pattern << ": " << text;
    }
    for (const std::string& text : one.refuses) {
      EXPECT_FALSE(Says(*grammar, text)) << one.pattern << ": " << text;
    }
  }
}

TEST(Regex, NamesTheByteThatIsBroken) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a)", "at byte 1 of the pattern: this `)` closes no group"},
      {"é(", "at byte 2 of the pattern: this `(` is not closed"},
      {"[a", "at byte 0 of the pattern: this `[` is not closed"},
      {"[b-a]", "at byte 1 of the pattern: a range"},
      {"[\\d-z]", "at byte 1 of the pattern: a range"},
      {"a**", "at byte 2 of the pattern: there is nothing to repeat"},
      {"a{2", "at byte 1 of the pattern: this `{`"},
      {"a{3,2}", "at byte 1 of the pattern: a count"},
      {"a{4294967295}", "at byte 1 of the pattern: this `{`"},
      {"a}", "at byte 1 of the pattern: write a `\\`"},
      {"^*", "at byte 0 of the pattern: `^` and `$` cannot be repeated"},
      {"a$b", "at byte 1 of the pattern: `$`"},
      {"\\", "at byte 0 of the pattern: nothing follows"},
      {"\\q", "at byte 0 of the pattern: this escape is not supported"},
      {"\\xg0", "at byte 0 of the pattern: \\x needs"},
      {"\\u{110000}", "at byte 0 of the pattern: \\u needs"},
      {"\\ud83d", "at byte 0 of the pattern: \\u needs"},
      {"\\01", "at byte 0 of the pattern: octal"},
      {"\\c1", "at byte 0 of the pattern: \\c needs"},
      {"\\p{Nope}", "at byte 0 of the pattern: this property"},
      {"\\pL", "at byte 0 of the pattern: \\p needs"},
      {"\\k<a>", "at byte 0 of the pattern: references"},
      {"(?=a)", "at byte 0 of the pattern: lookahead"},
      {"(?i)a", "at byte 0 of the pattern: this kind of group"},
      {"\xFF", "the pattern is not UTF-8"},
  };
  for (const auto& [pattern, message] : cases) {
    const auto grammar = CompileRegex(pattern);
    ASSERT_FALSE(grammar.has_value()) << pattern;
    EXPECT_THAT(grammar.error().message, testing::HasSubstr(message)) << pattern;
  }
}

// The deterministic automaton and the pattern that it is made from say the same, also of several.
TEST(TextLanguage, SaysWhatAllPartsAgreeOn) {
  TextLanguage language;
  language.min_length = 2;
  language.max_length = 5;
  for (const char* pattern : {"a", "b$"}) {
    ASSERT_TRUE(language.Require(*ParseRegex(pattern, RegexScope::kSearch, {})).has_value());
  }
  ASSERT_TRUE(language.Exclude(*ParseRegex("bb", RegexScope::kSearch, {})).has_value());
  ASSERT_TRUE(language.Exclude(TreeOfTexts({"acb", "ab"})).has_value());
  GrammarBuilder builder{{}};
  Speller speller(builder, Speller::Form::kPlain);
  Budget budget({.max_cpu_seconds = 10});
  const auto symbol = language.AddTo(builder, speller, budget);
  ASSERT_TRUE(symbol.has_value());
  const RuleId root = builder.Declare();
  builder.Add(root, {*symbol});
  const Grammar grammar = builder.Finish(root);
  size_t n_said = 0;
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    const bool is_meant = text.size() >= 2 && text.find('a') != std::string::npos &&
                          text.ends_with('b') && text.find("bb") == std::string::npos &&
                          text != "acb" && text != "ab" && text.size() <= 5;
    EXPECT_EQ(Says(grammar, text), is_meant) << text;
    EXPECT_EQ(language.Contains(text), is_meant) << text;
    n_said += is_meant ? 1 : 0;
    if (text.size() < 6) {
      for (const char letter : {'a', 'b', 'c'}) texts.push_back(text + letter);
    }
  }
  EXPECT_GT(n_said, 50U);
}

TEST(Regex, PropertiesAreThoseOfUnicode) {
  const auto all =
      CompileRegex("[\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{Cc}\\p{Cf}\\p{Co}\\p{Cn}]");
  ASSERT_TRUE(all.has_value());
  for (const char* text : {"a", "\n", "\u0301", "\u20AC", "\u00AD", "\uE000", "\u0378"}) {
    EXPECT_TRUE(Says(*all, text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::grammar
