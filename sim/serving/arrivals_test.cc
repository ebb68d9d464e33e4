#include "sim/serving/arrivals.h"

#include <algorithm>
#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

namespace plimsoll::sim {
namespace {

using testing::HasSubstr;

TEST(Arrivals, AreOfTheirKindAndPace) {
  for (const std::string_view kind : ArrivalKinds()) {
    const auto arrivals = MakeArrivals(kind, 1, 2000, 2);
    ASSERT_TRUE(arrivals) << kind;
    ASSERT_EQ(arrivals->size(), 2000U);
    EXPECT_TRUE(std::ranges::is_sorted(*arrivals, {}, &Arrival::seconds)) << kind;
    EXPECT_TRUE(std::ranges::all_of(
        *arrivals, [](const Arrival& a) { return a.n_prompt() > 0 && a.n_output > 0; }));
    const double per_second = 2000 / arrivals->back().seconds;
    EXPECT_GT(per_second, 1.2) << kind;
    EXPECT_LT(per_second, 2.6) << kind;
  }
  const auto shared = MakeArrivals("shared", 1, 500, 1);
  std::vector<uint64_t> seeds;
  for (const Arrival& arrival : *shared) {
    seeds.push_back(arrival.prompt.front().seed);
  }
  std::ranges::sort(seeds);
  EXPECT_EQ(std::ranges::unique(seeds).begin() - seeds.begin(), 10);
  EXPECT_FALSE(MakeArrivals("odd", 1, 5, 1));
}

class Mooncake : public testing::Test {
 protected:
  ~Mooncake() override { std::filesystem::remove(path_); }
  Result<Arrivals> Read(const std::string& text, uint32_t n_max = 10, uint32_t divisor = 1) {
    std::ofstream(path_) << text;
    return ReadMooncake(path_, n_max, divisor);
  }
  std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) /
                                ("plimsoll_mooncake_" + std::to_string(::getpid()) + ".jsonl");
};

constexpr auto kTwo =
    R"({"timestamp": 3052, "input_length": 1100, "output_length": 26, "hash_ids": [46, 47, 9]}
{"timestamp": 0, "input_length": 600, "output_length": 500, "hash_ids": [46]}
)";

TEST_F(Mooncake, BlocksWithOneIdBeginAlike) {
  const auto arrivals = Read(kTwo);
  ASSERT_TRUE(arrivals) << arrivals.error().message;
  ASSERT_EQ(arrivals->size(), 2U);
  const Arrival& first = (*arrivals)[0];
  const Arrival& second = (*arrivals)[1];
  EXPECT_EQ(first.seconds, 0);
  EXPECT_EQ(second.seconds, 3.052);
  EXPECT_EQ(first.n_output, 500U);
  EXPECT_EQ(first.n_prompt(), 600U);
  EXPECT_EQ(second.n_prompt(), 1100U);
  EXPECT_EQ(first.prompt[0].seed, second.prompt[0].seed);
  EXPECT_EQ(first.prompt[0].n_tokens, 512U);
  EXPECT_EQ(second.prompt[2].n_tokens, 1100U - 1024U);
}

TEST_F(Mooncake, CanBeMadeSmaller) {
  const auto arrivals = Read(kTwo, 10, 16);
  ASSERT_TRUE(arrivals);
  EXPECT_EQ((*arrivals)[1].n_prompt(), 68U);
  EXPECT_EQ((*arrivals)[1].prompt[0].n_tokens, 32U);
  EXPECT_EQ((*arrivals)[1].n_output, 1U);
  EXPECT_EQ(Read(kTwo, 1)->size(), 1U);
}

TEST_F(Mooncake, WhatIsNoRequestIsNamed) {
  for (const char* bad :
       {"{}", "no", "[]", R"({"timestamp":-1,"input_length":1,"output_length":1,"hash_ids":[]})",
        R"({"timestamp":1,"input_length":99999999999,"output_length":1,"hash_ids":[]})",
        R"({"timestamp":1,"input_length":1,"output_length":1,"hash_ids":["x"]})"}) {
    const auto arrivals = Read(std::string(kTwo) + bad + "\n");
    ASSERT_FALSE(arrivals) << bad;
    EXPECT_THAT(arrivals.error().message, HasSubstr(":3: no request"));
  }
  EXPECT_EQ(ReadMooncake("/nowhere/at/all", 1, 1).error().kind, ErrorKind::kIo);
}

}  // namespace
}  // namespace plimsoll::sim
