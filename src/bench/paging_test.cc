#include "bench/paging.h"

#include <cstdlib>
#include <filesystem>

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/bytes.h"
#include "bench/bench.h"

namespace plimsoll::bench {
namespace {

using testing::HasSubstr;

PagingResult SomeResult() {
  PagingResult result;
  result.n_experts = 1024;
  result.n_frames = 256;
  result.counts = {.wanted = 1000,
                   .misses = 250,
                   .bytes_read = 1'000'000'000,
                   .waited_seconds = 0.5,
                   .disk_busy_seconds = 0.8};
  result.n_tokens = 10;
  result.seconds = 1;
  result.disk_bytes_per_s = 1.5e9;
  result.bound_seconds = 0.9;
  result.belady_misses = 200;
  return result;
}

TEST(PagingResult, IsInSharesOfWhatWasPossible) {
  const PagingResult result = SomeResult();
  EXPECT_DOUBLE_EQ(result.hit_rate(), 0.75);
  EXPECT_DOUBLE_EQ(result.read_bytes_per_token(), 1e8);
  EXPECT_DOUBLE_EQ(result.disk_rate(), 1.25e9);
  EXPECT_DOUBLE_EQ(result.disk_duty(), 0.8);
  EXPECT_DOUBLE_EQ(result.waited_share(), 0.5);
  EXPECT_DOUBLE_EQ(result.bound_share(), 0.9);
  EXPECT_DOUBLE_EQ(result.over_belady(), 1.25);
  const PagingResult nothing;
  EXPECT_EQ(nothing.hit_rate(), 1);
  EXPECT_EQ(nothing.disk_rate(), 0);
  EXPECT_EQ(nothing.over_belady(), 0);
}

TEST(WhySlow, NamesWhatTookTheTime) {
  PagingResult result = SomeResult();
  EXPECT_EQ(
      WhySlow(result),
      "75 % of the experts were in memory, 100 MB a token came from the disk, and 50 % of the "
      "time it waited for that. The disk was busy 80 % of the time and then gave 1.25 of its "
      "1.50 GB/s: its limit. Only more memory helps, or a faster disk.");
  result.bound_seconds = 0.7;
  EXPECT_THAT(WhySlow(result), HasSubstr("GB/s: it stood still between the reads."));
  result.disk_bytes_per_s = 3e9;
  EXPECT_THAT(WhySlow(result), HasSubstr("GB/s: it had too little to do at a time"));
  result.disk_bytes_per_s = 0;  // not measured
  EXPECT_THAT(WhySlow(result), testing::EndsWith("50 % of the time it waited for that."));
  result.counts.waited_seconds = 0.05;
  EXPECT_THAT(WhySlow(result), HasSubstr("5 % of the time it waited for the disk: memory and"));
  result.bound_seconds = 0.3;
  EXPECT_THAT(WhySlow(result), HasSubstr("other work on the machine"));
}

TEST(PagingWatch, IsThereOnlyWhereExpertsArePaged) {
  EXPECT_EQ(PagingWatch::Prepare({.memory = SizeSpec{.bytes = kGiB}, .n_ctx = 64}), nullptr);
  EXPECT_EQ(PagingWatch::Prepare({.memory = SizeSpec{.bytes = kKiB}, .n_ctx = 64}), nullptr);
  EXPECT_EQ(PagingWatch::Prepare({.model = "/no/such.gguf"}), nullptr);
  const auto watch = PagingWatch::Prepare({.memory = SizeSpec{.bytes = 6 * kMiB}, .n_ctx = 64});
  ASSERT_NE(watch, nullptr);
  EXPECT_TRUE(watch->trace_path().has_value());
}

// What a run of the bundled model leaves is not for this user's plans.
class RunBenchTest : public testing::Test {
 protected:
  RunBenchTest() {
    std::filesystem::remove_all(cache_);
    ::setenv("XDG_CACHE_HOME", cache_.c_str(), 1);
    plan_.memory = {SizeSpec{.bytes = 6 * kMiB}};
    plan_.n_threads = {1};
    plan_.repetitions = 2;
    plan_.text = "What is the capital of France? The capital of France is Paris.";
  }
  ~RunBenchTest() override {
    std::filesystem::remove_all(cache_);
    ::unsetenv("XDG_CACHE_HOME");
  }

  std::vector<TestResult> Run() {
    std::vector<TestResult> results;
    const auto run = RunBench(
        plan_,
        {.load =
             [](const engine::EngineOptions& options) { return engine::Engine::Load(options, {}); },
         .on_phase = [](std::string_view) {},
         .on_result = [&](const Subject&, const TestResult& result) -> Result<> {
           results.push_back(result);
           return {};
         }});
    EXPECT_TRUE(run) << run.error().message;
    return results;
  }

  std::filesystem::path cache_ = std::filesystem::path(testing::TempDir()) /
                                 ("plimsoll_bench_cache_" + std::to_string(::getpid()));
  BenchPlan plan_;
};

// Nothing is known of the model: the warm-up tells the plan how it routes. Then the run is known.
TEST_F(RunBenchTest, PlansByTheWarmUpWhereNothingIsKnown) {
  const auto watch_of_unknown = [] {
    return PagingWatch::Prepare({.memory = SizeSpec{.bytes = 6 * kMiB}, .n_ctx = 128});
  };
  const auto before = watch_of_unknown();
  ASSERT_NE(before, nullptr);
  EXPECT_EQ(before->warm_up_tokens(), 64U);
  plan_.tests = {{.n_gen = 64}};
  const auto learned = Run();
  EXPECT_EQ(watch_of_unknown()->warm_up_tokens(), 1U);
  std::filesystem::remove_all(cache_);
  plan_.warm_up = false;
  const auto typical = Run();
  ASSERT_EQ(learned.size(), 1U);
  ASSERT_EQ(typical.size(), 1U);
  EXPECT_NE(learned[0].paging->plan_seconds, typical[0].paging->plan_seconds);
}

// The whole way, over the bundled model with some of its experts in memory.
TEST_F(RunBenchTest, SaysWhatPagedExpertsCost) {
  plan_.tests = {{.n_prompt = 40}, {.n_gen = 20, .n_depth = 4}};
  const auto results = Run();
  ASSERT_EQ(results.size(), 2U);
  for (const TestResult& result : results) {
    ASSERT_TRUE(result.paging);
    const PagingResult& paging = *result.paging;
    EXPECT_EQ(paging.n_experts, 512U);
    EXPECT_LT(paging.n_frames, 512U);
    EXPECT_EQ(paging.n_tokens, 2U * result.test.n_timed());
    EXPECT_GT(paging.counts.misses, 0U);
    EXPECT_LT(paging.counts.misses, paging.counts.wanted);
    EXPECT_GT(paging.counts.bytes_read, 0U);
    EXPECT_GT(paging.belady_misses, 0U);
    EXPECT_GE(paging.over_belady(), 0.9);
    EXPECT_GT(paging.bound_seconds, 0);
    EXPECT_GT(paging.plan_seconds, 0);
  }
  EXPECT_EQ(results[1].paging->counts.wanted, 2U * 20 * 64);
  // From now on a plan knows how this text is routed.
  const auto planner = engine::Planner::Open({.n_ctx = 64}).value();
  EXPECT_EQ(planner->Misses().source(), engine::MissCurve::Source::kProfile);
}

}  // namespace
}  // namespace plimsoll::bench
