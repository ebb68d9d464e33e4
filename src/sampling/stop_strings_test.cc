#include "sampling/stop_strings.h"

#include <algorithm>
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

namespace plimsoll::sampling {
namespace {

struct Outcome {
  std::string text;
  bool stopped = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// The definition, by looking at every end in turn.
Outcome Naive(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (!stop.empty() && std::string_view(text).substr(0, end).ends_with(stop)) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) {
      return {text.substr(0, end - longest), true};
    }
  }
  return {text, false};
}

Outcome Stream(const std::vector<std::string>& parts, const std::vector<std::string>& stops) {
  StopStrings matcher(stops);
  Outcome outcome;
  for (const std::string& part : parts) {
    outcome.text += matcher.Add(part);
  }
  outcome.stopped = matcher.stopped();
  outcome.text += matcher.Flush();
  return outcome;
}

TEST(StopStrings, HoldsBackWhatMayBecomeOneAndNoMore) {
  StopStrings matcher({"\nUser:"});
  EXPECT_EQ(matcher.Add("Hello\nUs"), "Hello");
  EXPECT_EQ(matcher.Add("age"), "\nUsage");
  EXPECT_EQ(matcher.Add("\n\nUse"), "\n");
  EXPECT_EQ(matcher.Add("r: never seen"), "");
  EXPECT_TRUE(matcher.stopped());
  EXPECT_EQ(matcher.Add("nor this"), "");
  EXPECT_EQ(matcher.Flush(), "");
}

TEST(StopStrings, FlushGivesAnUnfinishedOneBack) {
  StopStrings matcher({"END"});
  EXPECT_EQ(matcher.Add("the EN"), "the ");
  EXPECT_EQ(matcher.Flush(), "EN");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopStrings, WithoutAnyEverythingPasses) {
  StopStrings matcher({""});
  EXPECT_EQ(matcher.Add("text"), "text");
}

TEST(StopStrings, FirstCompleteWinsThenTheLongest) {
  EXPECT_EQ(Stream({"xabcd"}, {"abcd", "bc"}), (Outcome{"xa", true}));
  EXPECT_EQ(Stream({"xabc"}, {"bc", "abc", "c"}), (Outcome{"x", true}));
}

TEST(StopStrings, CharactersStayWhole) {
  StopStrings matcher({"é!", "日本"});
  EXPECT_EQ(matcher.Add("caf"), "caf");
  EXPECT_EQ(matcher.Add("é"), "");
  EXPECT_EQ(matcher.Add("è日"), "éè");
  EXPECT_EQ(matcher.Add("曜"), "日曜");
  EXPECT_EQ(matcher.Add("日本語"), "");
  EXPECT_TRUE(matcher.stopped());
}

// Texts and stop strings over a tiny alphabet (with characters of one, two and three bytes) meet in
// every way: overlaps, borders, one inside another.
TEST(StopStrings, AgreesWithNaiveSearchHoweverTheTextIsCut) {
  const std::vector<std::string> letters = {"a", "b", "é", "日"};
  std::mt19937 random(20240817);
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n)(random); };
  const auto word = [&](size_t length) {
    std::string text;
    for (size_t i = 0; i < length; ++i) {
      text += letters[std::min(pick(5), letters.size() - 1)];
    }
    return text;
  };
  size_t n_stopped = 0;
  const int n_rounds = std::getenv("PLIMSOLL_NIGHT") != nullptr ? 1'000'000 : 20'000;
  for (int round = 0; round < n_rounds; ++round) {
    std::vector<std::string> stops(1 + pick(3));
    std::generate(stops.begin(), stops.end(), [&] { return word(pick(6)); });
    std::vector<std::string> parts(pick(12));
    std::string whole;
    for (std::string& part : parts) {
      part = word(pick(3));
      whole += part;
    }
    const Outcome expected = Naive(whole, stops);
    n_stopped += expected.stopped ? 1 : 0;
    ASSERT_EQ(Stream(parts, stops), expected) << whole;

    // At every moment what came out is a prefix of the answer.
    StopStrings matcher(stops);
    std::string out;
    for (const std::string& part : parts) {
      out += matcher.Add(part);
      ASSERT_TRUE(expected.text.starts_with(out)) << whole;
    }
  }
  EXPECT_GT(n_stopped, static_cast<size_t>(n_rounds) / 5);
  EXPECT_LT(n_stopped, static_cast<size_t>(n_rounds) / 5 * 4);
}

}  // namespace
}  // namespace plimsoll::sampling
