#include "bench/plan.h"

#include <gmock/gmock.h>

namespace plimsoll::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ParseCounts, ReadsListsAndRanges) {
  EXPECT_THAT(ParseCounts("512").value(), ElementsAre(512));
  EXPECT_THAT(ParseCounts("0").value(), ElementsAre(0));
  EXPECT_THAT(ParseCounts("128,64,128").value(), ElementsAre(128, 64, 128));
  EXPECT_THAT(ParseCounts("2-5").value(), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(ParseCounts("7-7").value(), ElementsAre(7));
  EXPECT_THAT(ParseCounts("0-300+128").value(), ElementsAre(0, 128, 256));
  EXPECT_THAT(ParseCounts("1-8*2,3").value(), ElementsAre(1, 2, 4, 8, 3));
}

TEST(ParseCounts, RefusesEverythingElse) {
  for (const char* text :
       {"", ",", "1,", ",1", "x", "-1", "1.5", "1 ", "5-2", "1-", "1-2-3", "1-4+", "1-4+0", "1-4*1",
        "0-4*2", "1-4/2", "99999999999999999999", "1073741825"}) {
    const auto counts = ParseCounts(text);
    ASSERT_FALSE(counts) << text;
    EXPECT_EQ(counts.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(counts.error().message, HasSubstr(text));
  }
  EXPECT_THAT(ParseCounts("1-1001").error().message, HasSubstr("more than 1000"));
  EXPECT_EQ(ParseCounts("1-1000").value().size(), 1000);
}

TEST(ParsePromptGen, ReadsAPair) {
  EXPECT_EQ(ParsePromptGen("512,128").value(), (std::pair{512U, 128U}));
  EXPECT_EQ(ParsePromptGen("0,1").value(), (std::pair{0U, 1U}));
  for (const char* text : {"", "512", "512,", ",128", "1,2,3", "0,0", "a,b", "-1,2"}) {
    EXPECT_FALSE(ParsePromptGen(text)) << text;
  }
}

TEST(MakeTests, CombinesSizesWithDepthsAndLeavesOutEmptyOnes) {
  const auto tests = MakeTests(
      {.n_prompt = {512, 0}, .n_gen = {0, 16}, .prompt_gen = {{8, 4}}, .n_depth = {0, 4096}});
  std::vector<std::string> names;
  for (const BenchTest& test : tests) {
    names.push_back(test.Name());
  }
  EXPECT_THAT(names, ElementsAre("pp512", "tg16", "pp8+tg4", "pp512 @ d4096", "tg16 @ d4096",
                                 "pp8+tg4 @ d4096"));
  EXPECT_EQ(tests.back().n_ctx(), 4096 + 12);
  EXPECT_TRUE(MakeTests({.n_prompt = {0}, .n_gen = {0}, .prompt_gen = {}, .n_depth = {0}}).empty());
}

}  // namespace
}  // namespace plimsoll::bench
