#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <unistd.h>

#include "cli/trace_command.h"

namespace plimsoll::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

// One layer of four experts, one a token: a prompt of two tokens, then 0 1 0 2 0 3.
constexpr std::string_view kTrace =
    "# route_trace v1\n"
    "# model=/m/\x1b[31mtiny.gguf arch=tiny n_layer=1 n_expert=4 n_expert_used=1\n"
    "turn,phase,step,layer,slot,expert,weight,residency,expert_bytes\n"
    "0,0,0,0,0,3,1,0,10\n0,0,1,0,0,0,1,0,10\n"
    "0,1,2,0,0,0,1,0,10\n0,1,3,0,0,1,1,0,10\n0,1,4,0,0,0,1,0,10\n"
    "0,1,5,0,0,2,1,0,10\n0,1,6,0,0,0,1,0,10\n0,1,7,0,0,3,1,0,10\n";

class TraceCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("plimsoll_trace_cli_" + std::to_string(::getpid()) + ".csv");
    std::ofstream(path_) << kTrace;
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Result<> Run(std::vector<std::string> args) {
    out_.str("");
    args.push_back(path_.string());
    const Console console = {.in = in_, .out = out_, .err = err_};
    return TraceCommand(std::move(args), {.console = console, .load = nullptr});
  }
  [[nodiscard]] std::string out() const { return out_.str(); }

  std::filesystem::path path_;
  std::stringstream in_, out_, err_;
};

// With two slots: the prompt leaves 3 and 0; LRU then misses 1, 2, 3, keeping 0; so does Belady.
TEST_F(TraceCommandTest, ReplayPrintsEveryPolicyAndTheOptimum) {
  ASSERT_TRUE(Run({"replay", "--slots", "2"}));
  EXPECT_THAT(out(), HasSubstr("2 slots (50.0 %)"));
  EXPECT_THAT(out(), HasSubstr("| lru | 3 | 50.0 % | 1.00 | 2 |"));
  EXPECT_THAT(out(), HasSubstr("| belady | 3 | 50.0 % | 1.00 | 2 |"));
  EXPECT_THAT(out(), HasSubstr("| forecast |"));
  EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
}

TEST_F(TraceCommandTest, ReplayAsJson) {
  ASSERT_TRUE(Run({"replay", "--slots", "25%,4", "--policy", "lru,belady", "--curve", "--json"}));
  simdjson::dom::parser parser;
  const simdjson::dom::element json = parser.parse(out());
  EXPECT_EQ(uint64_t(json["decode_cycle"]), 1U);
  const simdjson::dom::array results = json["results"];
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(uint64_t(results.at(0)["n_slots"]), 1U);
  EXPECT_EQ(uint64_t(results.at(0)["policies"].at(0)["decode"]["misses"]), 5U);
  EXPECT_EQ(std::string_view(results.at(0)["policies"].at(1)["name"]), "belady");
  EXPECT_EQ(uint64_t(results.at(1)["policies"].at(0)["decode"]["misses"]), 2U);
  const simdjson::dom::array curve = json["lru_curve"];
  EXPECT_EQ(curve.size(), 20U);
  EXPECT_DOUBLE_EQ(double(curve.at(4)["miss_ratio"]), 5.0 / 6);
  EXPECT_DOUBLE_EQ(double(curve.at(19)["miss_ratio"]), 2.0 / 6);
}

TEST_F(TraceCommandTest, ThePromptCanBeReplayedByTokenOrLeftOut) {
  ASSERT_TRUE(Run({"replay", "--slots", "4", "--policy", "lru", "--prefill", "tokens"}));
  EXPECT_THAT(out(), HasSubstr("| lru | 4 |"));
  ASSERT_TRUE(Run({"replay", "--slots", "4", "--policy", "lru", "--prefill", "none"}));
  EXPECT_THAT(out(), HasSubstr("| lru | 4 | 33.3 % | 1.00 | 0 |"));
}

TEST_F(TraceCommandTest, Show) {
  ASSERT_TRUE(Run({"show"}));
  EXPECT_THAT(out(), HasSubstr("2 of prompts, 6 decoded"));
  EXPECT_THAT(out(), HasSubstr("| 0 | 4 | 4 | 6 | 0.0 % | 50.0 % |"));
  EXPECT_THAT(out(), Not(HasSubstr("\x1b")));
  ASSERT_TRUE(Run({"show", "--json"}));
  simdjson::dom::parser parser;
  const simdjson::dom::element json = parser.parse(out());
  EXPECT_EQ(uint64_t(json["n_tokens_decode"]), 6U);
  EXPECT_EQ(uint64_t(json["layers"].at(0)["n_used"]), 4U);
}

TEST_F(TraceCommandTest, WhatIsWrongIsSaid) {
  const auto error = [&](std::vector<std::string> args) {
    const auto done = Run(std::move(args));
    return done ? std::string("done") : done.error().message;
  };
  EXPECT_THAT(error({"replay", "--slots", "0"}), HasSubstr("--slots 0"));
  EXPECT_THAT(error({"replay", "--slots", "5"}), HasSubstr("from 1 to 4"));
  EXPECT_THAT(error({"replay", "--slots", "101%"}), HasSubstr("25%"));
  EXPECT_THAT(error({"replay", "--policy", "best"}), HasSubstr("there are forecast, lfu"));
  EXPECT_THAT(error({"replay", "--prefill", "most"}), HasSubstr("chunk, tokens and none"));
  EXPECT_THAT(error({"reply"}), HasSubstr("replay"));
  std::filesystem::remove(path_);
  EXPECT_THAT(error({"show"}), HasSubstr(path_.string()));
}

// A root, two prompts of a block each, the older of which is evicted.
TEST_F(TraceCommandTest, CheckDoesTheSumsOfAPrefixCacheAgain) {
  const std::string log =
      "# plimsoll_prefix_log v1\n"
      "# use_half_life_us=60000000 branch_half_life_us=3600000000 seconds_per_token=0x1p-10 "
      "seconds_per_token_and_position=0x0p+0 "
      "reload_bytes_per_second=0x0p+0\n"
      "create 1 0 0\ncreate 2 1 10\nfill 2 32 1024\ncreate 3 1 900000000\nfill 3 32 1024\n";
  std::ofstream(path_) << log + "evict 2\n";
  ASSERT_TRUE(Run({"check"}));
  EXPECT_THAT(out(), HasSubstr("1 evictions of 1.00 KiB were right"));
  std::ofstream(path_) << log + "evict 3\n";
  const auto wrong = Run({"check"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().kind, ErrorKind::kFailed);
  EXPECT_THAT(wrong.error().message,
              HasSubstr("line 8: node 3 was evicted, but node 2 was cheaper"));
  std::ofstream(path_) << kTrace;
  EXPECT_THAT(Run({"check"}).error().message, HasSubstr("serve --prefix-log"));
}

}  // namespace
}  // namespace plimsoll::cli
