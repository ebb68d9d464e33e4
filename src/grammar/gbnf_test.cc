#include "grammar/gbnf.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/recognizer.h"

namespace plimsoll::grammar {
namespace {

struct GbnfCase {
  std::string text;
  std::vector<std::string> says;
  std::vector<std::string> refuses;
};

TEST(Gbnf, SaysWhatItsRulesSay) {
  const std::vector<GbnfCase> cases = {
      {R"(root ::= "yes" | "no")", {"yes", "no"}, {"", "yesno", "y"}},
      {"root ::= a b\na ::= [a-c]+ # comment\nb ::= \"x\"{2,3}\n", {"axx", "abcxxx"}, {"xx", "ax"}},
      {"root ::=\n  \"a\" (\n \"b\" # here\n | \"c\"\n)* \"d\"", {"ad", "abcbd"}, {"a", "abc"}},
      {"root ::= \"a\" |\n \"b\"\n | \"c\"\nother ::= root", {"a", "b", "c"}, {"d", ""}},
      {R"(root ::= [^"\\\n] [\x41-\x43] "\u00e9\U0001F600\t\"")",
       {"xA\u00e9\U0001F600\t\"",
        "\u65e5"
        "C\u00e9\U0001F600\t\""},
       {"\nA\u00e9\U0001F600\t\"", "xD\u00e9\U0001F600\t\""}},
      {"root ::= . .", {"ab", "\u65e5\n", "\U0001F600\U0001F600"}, {"a", "abc", "\xFF\xFF"}},
      {"root ::= [a-] [\\]] [^\\]-]", {"a]x", "-]a"}, {"b]x", "a]]", "a]-"}},
      {"root ::= (\"ab\"){2} \"c\"? \"d\"*", {"abab", "ababc", "ababcddd"}, {"ab", "ababab"}},
      {"root ::= \"ab\"{ 2 , } x_1\nx_1 ::= \"\"", {"abab", "ababab"}, {"ab"}},
      {"root ::= \"a\"?+", {"", "a", "aaa"}, {"b"}},
      {"root ::= \"(\" root? \")\"", {"()", "((()))"}, {"(", "(()"}},
      {"\xEF\xBF\xBD", {}, {}},
  };
  for (const GbnfCase& one : cases) {
    const auto grammar = CompileGbnf(one.text);
    ASSERT_EQ(grammar.has_value(), !one.says.empty()) << one.text << grammar.error().message;
    for (const std::string& text : one.says) EXPECT_TRUE(Says(*grammar, text)) << one.text << text;
    for (const std::string& text : one.refuses) {
      EXPECT_FALSE(Says(*grammar, text)) << one.text << text;
    }
  }
}

TEST(Gbnf, NamesTheByteThatIsBroken) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no rule 'root'"},
      {"a ::= \"x\"", "no rule 'root'"},
      {"root ::= b", "at byte 9 of the grammar: there is no rule 'b'"},
      {"root ::= \"x", "at byte 9 of the grammar: this literal is not closed"},
      {"root ::= [x", "at byte 9 of the grammar: this `[` is not closed"},
      {"root ::= (\"x\"", "at byte 9 of the grammar: this `(` is not closed"},
      {"root = \"x\"", "at byte 5 of the grammar: `::=` is wanted here"},
      {"root ::= \"a\"\nroot ::= \"b\"", "at byte 13 of the grammar: rule 'root' is there twice"},
      {"root ::= <think>", "at byte 9 of the grammar: tokens"},
      {"root ::= \"a\" !<[12]>", "at byte 13 of the grammar: tokens"},
      {"root ::= \"a\"{3,2}", "at byte 12 of the grammar: a count is"},
      {"root ::= \"a\"{99999999999}", "at byte 12 of the grammar: a count is"},
      {"root ::= \"\\q\"", "at byte 10 of the grammar: this escape"},
      {"root ::= \"\\xZZ\"", "at byte 10 of the grammar: 2 hexadecimal digits"},
      {"root ::= \"\\ud800\"", "at byte 10 of the grammar: this is no character"},
      {"root ::= [z-a]", "at byte 9 of the grammar: a range"},
      {"root ::= \"a\" ) \"b\"", "at byte 13 of the grammar: this does not belong"},
      {"root ::= *", "at byte 9 of the grammar: this does not belong"},
      {"root ::= \"\xFF\"", "not UTF-8"},
  };
  for (const auto& [text, message] : cases) {
    const auto grammar = CompileGbnf(text);
    ASSERT_FALSE(grammar.has_value()) << text;
    EXPECT_THAT(grammar.error().message, testing::HasSubstr(message)) << text;
    EXPECT_EQ(grammar.error().kind, ErrorKind::kUsage) << text;
  }
}

TEST(Gbnf, BombsAreRefusedAtTheLimits) {
  const auto kind = [](const std::string& text) {
    const auto grammar = CompileGbnf(text);
    return grammar ? ErrorKind{} : grammar.error().kind;
  };
  EXPECT_EQ(kind("root ::= " + std::string(60'000, '(') + "\"a\"" + std::string(60'000, ')')),
            ErrorKind::kDoesNotFit);
  EXPECT_EQ(kind("root ::= " + std::string(60'000, '(')), ErrorKind::kDoesNotFit);
  EXPECT_EQ(kind("root ::= \"" + std::string(200'000, 'a') + "\""), ErrorKind::kDoesNotFit);
  std::string chain = "root ::= r0\n";
  for (int i = 0; i < 5'000; ++i) {
    chain += "r" + std::to_string(i) + " ::= \"a\" r" + std::to_string(i + 1) + "\n";
  }
  const auto grammar = CompileGbnf(chain + "r5000 ::= \"b\"");
  ASSERT_TRUE(grammar.has_value());
  EXPECT_EQ(grammar->rules.size(), 5'002U);
  EXPECT_TRUE(CompileGbnf("root ::= \"a\"{1000000} \"b\"").has_value());
}

}  // namespace
}  // namespace plimsoll::grammar
