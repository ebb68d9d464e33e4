#include "cli/plan.h"

#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>

#include "base/bytes.h"

namespace plimsoll::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class PlanTest : public testing::Test {
 protected:
  // Of the bundled model: 8 layers of 64 experts, 8 for a token.
  PlanReport ReportAt(uint64_t line) {
    PlanInputs inputs = {
        .line_bytes = line,
        .speed = {.memory = 1e10,
                  .multiply_adds = 1e11,
                  .attention_multiply_adds = 1e10,
                  .disk = {.direct = true, .cells = {{64 << 10, 1, 1e8}}, .sustained = 1e8}},
        .disk_not_measured = {},
        .misses = misses_,
        .trace = trace_};
    return MakePlanReport(*planner_, inputs).value();
  }
  [[nodiscard]] const engine::Landmarks& landmarks() const { return planner_->landmarks(); }

  std::unique_ptr<engine::Planner> planner_ =
      engine::Planner::Open({.n_ctx = 256, .n_threads = 1}).value();
  const memory::trace::Trace* trace_ = nullptr;
  engine::MissCurve misses_ = engine::MissCurve::Typical(8.0 / 64);
};

TEST_F(PlanTest, SaysThatEverythingStaysInMemory) {
  const PlanReport report = ReportAt(landmarks().all_chunk);
  EXPECT_EQ(report.decode.misses, 0);
  EXPECT_TRUE(report.warnings.empty()) << report.warnings.front();
  const std::string text = PlanText(report);
  EXPECT_THAT(text, HasSubstr("8 layers, 64 experts in each, 8 of them for a token\n"));
  EXPECT_THAT(text, HasSubstr("all of them\n"));
  EXPECT_THAT(text, HasSubstr("Everything stays in memory: "));
  EXPECT_THAT(text, HasSubstr("everything in memory, as asked\n"));
  EXPECT_THAT(text, Not(HasSubstr("index")));
}

TEST_F(PlanTest, CountsKeysAndValuesInTheirType) {
  const PlanReport f16 = ReportAt(landmarks().all_chunk);
  planner_ = engine::Planner::Open(
                 {.n_ctx = 256, .n_threads = 1, .kv = {.type = tensor::KvType::kQ8, .layers = {}}})
                 .value();
  const PlanReport q8 = ReportAt(landmarks().all_chunk);
  // Eight blocks and two open ones, each a little above a half.
  EXPECT_EQ(q8.division.parts.kv * 8 * 64, f16.division.parts.kv * 10 * 34);
  EXPECT_THAT(PlanText(f16), HasSubstr("keys and values of 256 tokens\n"));
  EXPECT_THAT(PlanText(q8), HasSubstr("keys and values of 256 tokens, q8\n"));
  EXPECT_LT(q8.work.kv_bytes, f16.work.kv_bytes);
}

TEST_F(PlanTest, CountsWhatAPolicyKeeps) {
  const PlanReport full = ReportAt(landmarks().all_chunk);
  planner_ = engine::Planner::Open({.n_ctx = 256,
                                    .n_threads = 1,
                                    .kv_policy = {.kind = kv::policy::PolicyKind::kWindow,
                                                  .budget = SizeSpec{.percent = 50}}})
                 .value();
  const PlanReport half = ReportAt(landmarks().all_chunk);
  EXPECT_EQ(half.division.parts.kv * 2, full.division.parts.kv);
  EXPECT_THAT(PlanText(half), HasSubstr("keys and values of 256 tokens, window 50%\n"));
}

TEST_F(PlanTest, DividesALowLineAndSaysWhatItCosts) {
  const uint64_t line = (landmarks().cycle + landmarks().all) / 2;
  const PlanReport report = ReportAt(line);
  EXPECT_EQ(report.misses_from, engine::MissCurve::Source::kTypical);
  EXPECT_GT(report.decode.misses, 0);
  EXPECT_LT(report.decode.misses, 64);
  EXPECT_GE(report.decode_if_even.misses, report.decode.misses);
  EXPECT_GT(report.first_prompt.read_bytes, report.prompt.read_bytes);
  const std::string text = PlanText(report);
  EXPECT_THAT(text, HasSubstr(" to expect"));
  EXPECT_THAT(text, HasSubstr(" of 512 experts at a time, "));
  EXPECT_THAT(text, HasSubstr("as models of this shape route"));
  EXPECT_THAT(text, HasSubstr(" if it routes evenly"));
  EXPECT_THAT(text, HasSubstr("tokens/s at most; "));
  EXPECT_THAT(text, HasSubstr(" more memory would hold everything.\n"));
  // Rows ascend, and more memory is never slower.
  double last = 0;
  for (const PlanRow& row : report.rows) {
    EXPECT_GE(1 / row.decode.seconds(), last) << row.what;
    last = 1 / row.decode.seconds();
  }
  std::istringstream lines(text);
  for (std::string each; std::getline(lines, each);) {
    EXPECT_LE(each.size(), 120U) << each;
  }
}

TEST_F(PlanTest, WarnsBelowOneTokensExperts) {
  const PlanReport report = ReportAt((landmarks().least + landmarks().cycle) / 2);
  EXPECT_THAT(PlanText(report), HasSubstr("one token uses 64: most of them are read again"));
  EXPECT_THAT(PlanText(report), HasSubstr("--memory " + EnoughFor(landmarks().cycle) + " holds"));
  EXPECT_THAT(ReportAt(landmarks().cycle).warnings,
              Not(testing::Contains(HasSubstr("one token uses"))));
}

TEST_F(PlanTest, RefusesWithTheSmallestLineThatWorks) {
  const PlanReport report = ReportAt(landmarks().least - 1);
  EXPECT_THAT(report.refusal, HasSubstr("--memory " + EnoughFor(landmarks().least)));
  EXPECT_THAT(PlanText(report), HasSubstr("It does not fit; the smallest line that works is"));
  EXPECT_THAT(PlanJson(report), HasSubstr("\"fits\":false"));
  EXPECT_THAT(PlanJson(report), HasSubstr("\"refusal\":\"the model needs at least"));
  EXPECT_TRUE(ReportAt(landmarks().least).refusal.empty());
}

TEST_F(PlanTest, PrefersWhatIsKnownOfTheModel) {
  misses_ = engine::MissCurve(engine::MissCurve::Source::kProfile, {{0.5, 0.125}});
  const uint64_t line = (landmarks().cycle + landmarks().all) / 2;
  const PlanReport profiled = ReportAt(line);
  EXPECT_EQ(profiled.misses_from, engine::MissCurve::Source::kProfile);
  EXPECT_EQ(profiled.miss_ratio, misses_.At(profiled.share));

  // Every layer chooses the same experts for every token: nothing is missing but the first time.
  memory::trace::Trace trace;
  trace.layers.assign(8, {.n_experts = 64, .n_active = 8, .n_ranked = 8, .expert_bytes = 0});
  for (uint32_t token = 0; token < 100; ++token) {
    for (uint32_t layer = 0; layer < 8; ++layer) {
      trace.visits.push_back(
          {.layer = layer, .pass = token, .n_tokens = 1, .first = trace.choices.size()});
      for (uint32_t expert = 0; expert < 8; ++expert) {
        trace.choices.push_back({.expert = expert, .probability = 0.1F});
      }
    }
  }
  trace_ = &trace;
  const PlanReport traced = ReportAt(line);
  EXPECT_EQ(traced.misses_from, engine::MissCurve::Source::kRecorded);
  EXPECT_NEAR(traced.miss_ratio, 0.01, 1e-9);
  EXPECT_THAT(PlanText(traced), HasSubstr("1.0 %, as in the trace"));
}

TEST_F(PlanTest, SaysSoWhenTheDiskWasNotMeasured) {
  const PlanInputs inputs = {
      .line_bytes = landmarks().cycle,
      .speed = {.memory = 1e10, .multiply_adds = 1e11, .attention_multiply_adds = 1e10, .disk = {}},
      .disk_not_measured = "m.gguf is too short"};
  const PlanReport report = MakePlanReport(*planner_, inputs).value();
  EXPECT_THAT(PlanText(report), HasSubstr("The disk was not measured: m.gguf is too short."));
  EXPECT_THAT(PlanJson(report), HasSubstr("\"disk_bytes_per_second\":null"));
}

}  // namespace
}  // namespace plimsoll::cli
