#include "text/pre_tokenizer.h"

#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unicode/uchar.h>

#include "text/regex_splitter.h"
#include "text/run_splitter.h"
#include "text/utf8.h"
#include "text/word_patterns.h"

namespace plimsoll::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Collect final : public WordSink {
 public:
  void Word(std::string_view word) override { words.emplace_back(word); }
  std::vector<std::string> words;
};

std::vector<std::string> Words(const Splitter& splitter, std::string_view text) {
  Collect sink;
  splitter.Split(text, sink);
  return sink.words;
}

std::vector<std::string> WordsOf(std::string_view name, std::string_view text) {
  const auto family = FindPreTokenizer(name);
  std::vector<SplitStep> steps;
  for (const std::string_view pattern : family->patterns) {
    steps.push_back({std::string(pattern), true, true});
  }
  const auto pre_tokenizer = PreTokenizer::Create(steps);
  Collect sink;
  pre_tokenizer->Split(text, sink);
  return sink.words;
}

// Characters that patterns tell apart are common, and every assigned character is possible. PCRE2
// 10.42 knows Unicode 14; characters that came later are left out of the comparison.
std::string RandomText(std::mt19937& rng) {
  static constexpr std::string_view kCommon[] = {
      " ",      " ",      " ",          "\n",     "\r",     "\t",      "'",      "s",      "S",
      "'s",     "'T",     "ll",         "'re",    "'VE",    "'\u017F", "a",      "b",      "Z",
      "Q",      "1",      "2",          "34",     "\u00E4", "\u00C4",  "\u01C5", "\u02B0", "\u4E00",
      "\u3042", "\u0301", "\u0903",     "!",      "/",      "$",       "`",      "-",      "\u2014",
      "\u20AC", "\u00A0", "\u3000",     "\u0085", "\u180E", "\u200B",  "\u0660", "\u2167", "\u00BD",
      "\uFF01", "\uAC00", "\U0001F600", "x",      "_"};
  std::uniform_int_distribution<size_t> length(0, 24);
  std::uniform_int_distribution<size_t> common(0, std::size(kCommon) - 1);
  std::uniform_int_distribution<uint32_t> any(0, 0x2FFFF);
  std::uniform_int_distribution<int> kind(0, 9);
  std::string text;
  for (size_t n = length(rng); n > 0; --n) {
    if (kind(rng) != 0) {
      text += kCommon[common(rng)];
      continue;
    }
    const uint32_t c = any(rng);
    UVersionInfo age;
    u_charAge(static_cast<UChar32>(c), age);
    if ((c < 0xD800 || c > 0xDFFF) && age[0] >= 1 && age[0] <= 14) {
      AppendUtf8(c, text);
    }
  }
  return text;
}

struct Case {
  std::string_view pattern;
  std::unique_ptr<const Splitter> ours;
};

TEST(Splitters, EqualTheRegularExpression) {
  std::vector<Case> cases;
  for (const std::string_view name : PreTokenizerNames()) {
    const auto family = FindPreTokenizer(name);
    for (const std::string_view pattern : family->patterns) {
      auto known = KnownPatternSplitter(pattern, {});
      cases.push_back({pattern, known ? std::move(known) : RunPatternSplitter(pattern, {})});
      ASSERT_NE(cases.back().ours, nullptr) << pattern << " has no splitter of its own";
    }
  }
  std::sort(cases.begin(), cases.end(),
            [](const Case& a, const Case& b) { return a.pattern < b.pattern; });
  cases.erase(std::unique(cases.begin(), cases.end(),
                          [](const Case& a, const Case& b) { return a.pattern == b.pattern; }),
              cases.end());
  EXPECT_GE(cases.size(), 17u);
  for (const Case& c : cases) {
    const auto oracle = RegexSplitter(c.pattern, {});
    ASSERT_TRUE(oracle) << oracle.error().message;
    std::mt19937 rng(7);
    for (int i = 0; i < 5000; ++i) {
      const std::string text = RandomText(rng);
      ASSERT_EQ(Words(*c.ours, text), Words(**oracle, text))
          << c.pattern << " on " << ::testing::PrintToString(text);
    }
  }
}

TEST(Splitters, LoseNoByteOfAnyInput) {
  std::mt19937 rng(11);
  std::uniform_int_distribution<int> byte(0, 255);
  for (const std::string_view name : PreTokenizerNames()) {
    for (int i = 0; i < 200; ++i) {
      std::string text(20, '\0');
      std::generate(text.begin(), text.end(), [&] { return static_cast<char>(byte(rng)); });
      std::string joined;
      for (const std::string& word : WordsOf(name, text)) {
        ASSERT_FALSE(word.empty());
        joined += word;
      }
      ASSERT_EQ(joined, text) << name;
    }
  }
}

TEST(PreTokenizer, SplitsLikeItsFamily) {
  EXPECT_THAT(WordsOf("gpt-2", "Hello  world's 123"),
              ElementsAre("Hello", " ", " world", "'s", " 123"));
  EXPECT_THAT(WordsOf("llama-bpe", "it'S 12345\n\n x"),
              ElementsAre("it", "'S", " ", "123", "45", "\n\n", " x"));
  EXPECT_THAT(WordsOf("qwen2", "12a"), ElementsAre("1", "2", "a"));
  EXPECT_THAT(WordsOf("qwen35", "a\u0301b!"), ElementsAre("a\u0301b", "!"));
  EXPECT_THAT(WordsOf("gpt-4o", "helloWorld's HTMLParser"),
              ElementsAre("hello", "World's", " HTMLParser"));
  EXPECT_THAT(WordsOf("falcon", "a1234$b"), ElementsAre("a", "123", "4", "$", "b"));
  EXPECT_THAT(WordsOf("starcoder", "a12"), ElementsAre("a", "1", "2"));
  EXPECT_THAT(WordsOf("deepseek-v3", "\u4E2D\u6587abc1234"),
              ElementsAre("\u4E2D\u6587", "abc", "123", "4"));
  EXPECT_THAT(WordsOf("tekken", "fooBar12"), ElementsAre("foo", "Bar", "1", "2"));
}

TEST(PreTokenizer, RefusesAnUnknownNameAndListsTheKnown) {
  const auto family = FindPreTokenizer("nonesuch");
  ASSERT_FALSE(family);
  EXPECT_EQ(family.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(family.error().message, HasSubstr("\"nonesuch\""));
  EXPECT_THAT(family.error().message, HasSubstr("llama-bpe, "));
}

TEST(PreTokenizer, NamesAreSorted) {
  const auto names = PreTokenizerNames();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST(PreTokenizer, RefusesABadPattern) {
  const SplitStep bad{"(unclosed", true, true};
  const auto result = PreTokenizer::Create({&bad, 1});
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("(unclosed"));
  const std::vector<SplitStep> many(PreTokenizer::kMaxSteps + 1, {"a", true, true});
  EXPECT_FALSE(PreTokenizer::Create(many));
}

TEST(RegexSplitter, BoundsAPatternThatBacktracksForever) {
  const auto splitter = RegexSplitter("(a+)+$", {});
  ASSERT_TRUE(splitter);
  const std::string text = std::string(60, 'a') + "b";
  std::string joined;
  for (const std::string& word : Words(**splitter, text)) {
    joined += word;
  }
  EXPECT_EQ(joined, text);
}

TEST(RegexSplitter, KeepsTheAskedParts) {
  EXPECT_THAT(Words(**RegexSplitter("\\d+", {true, false}), "a12b3"), ElementsAre("12", "3"));
  EXPECT_THAT(Words(**RegexSplitter("\\d+", {false, true}), "a12b3"), ElementsAre("a", "b"));
  EXPECT_THAT(Words(**RegexSplitter("\\d+", {}),
                    "a\xFF"
                    "1"),
              ElementsAre("a", "\xFF", "1"));
}

}  // namespace
}  // namespace plimsoll::text
