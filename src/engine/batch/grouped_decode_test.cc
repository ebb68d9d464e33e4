// Groups that take turns below a batcher: texts stay, and all go on.
#include "engine/batch/grouped_decode.h"

#include <gmock/gmock.h>

#include "engine/batch/batch_test_tools.h"

namespace plimsoll::engine::batch {
namespace {

constexpr uint32_t kAnswers = 6;
constexpr uint32_t kAnswerTokens = 100;

struct GroupedCourse {
  std::vector<std::string> texts;
  uint32_t most_groups = 0;
  uint32_t most_steps_still = 0;
};

GenerationRequest RequestNumber(const Engine& engine, uint32_t i) {
  const std::vector<std::string> questions = {"Tell me a story about a fox called Ada.",
                                              "What is the capital of Peru?",
                                              "Repeat: red, blue, green", "Hello, my name is Ivo."};
  GenerationRequest request;
  request.prompt = Encode(engine, Question(questions[i % questions.size()]));
  request.options.n_predict = kAnswerTokens;
  request.options.ignore_end = true;
  request.options.sampling.temperature = 0.8F;
  request.options.sampling.seed = i;
  return request;
}

// It takes some 12 MiB, and 6 at least.
std::unique_ptr<Engine> LoadPaged() {
  auto engine = LoadBundled(256, kAnswers, SizeSpec{.bytes = 8 * kMiB});
  EXPECT_TRUE(engine->paging());
  return engine;
}

GroupedCourse Answer(Batcher& batcher, const Engine& engine) {
  std::vector<std::shared_ptr<Heard>> heard;
  for (uint32_t i = 0; i < kAnswers; ++i) {
    heard.push_back(std::make_shared<Heard>());
    batcher.Add(i + 1, RequestNumber(engine, i), heard.back(), Clock::now());
  }
  GroupedCourse course;
  std::vector<size_t> had(kAnswers, 0);
  std::vector<uint32_t> still(kAnswers, 0);
  for (int step = 0; step < 100000 && batcher.Step(Clock::now()) != Batcher::Outcome::kIdle;
       ++step) {
    course.most_groups = std::max(course.most_groups, batcher.n_decode_groups());
    for (uint32_t i = 0; i < kAnswers; ++i) {
      const bool stands = had[i] > 0 && heard[i]->n_ends == 0 && heard[i]->tokens.size() == had[i];
      still[i] = stands ? still[i] + 1 : 0;
      had[i] = heard[i]->tokens.size();
      course.most_steps_still = std::max(course.most_steps_still, still[i]);
    }
  }
  for (const auto& one : heard) {
    EXPECT_EQ(one->n_ends, 1);
    EXPECT_EQ(one->tokens.size(), kAnswerTokens);
    course.texts.push_back(one->text);
  }
  return course;
}

TEST(GroupedDecode, ChangesNoText) {
  const auto engine = LoadPaged();
  std::vector<std::string> together;
  {
    const auto batcher = engine->NewBatcher({.n_parallel = kAnswers}).value();
    const GroupedCourse course = Answer(*batcher, *engine);
    EXPECT_EQ(course.most_groups, 1U);
    EXPECT_EQ(course.most_steps_still, 0U);
    together = course.texts;
  }
  for (const uint32_t n_groups : {2U, 3U}) {
    const auto batcher =
        engine
            ->NewBatcher(
                {.n_parallel = kAnswers, .order = "expert-union", .min_decode_groups = n_groups})
            .value();
    const GroupedCourse course = Answer(*batcher, *engine);
    EXPECT_GE(course.most_groups, n_groups);
    EXPECT_GT(course.most_steps_still, 3U) << "nobody took turns";
    EXPECT_LE(course.most_steps_still, order::TurnLimits().max_still_steps);
    EXPECT_EQ(course.texts, together);
  }
}

TEST(GroupedDecode, WhoHasStoodStillForTooLongGoesOn) {
  const auto engine = LoadPaged();
  const auto batcher = engine
                           ->NewBatcher({.n_parallel = kAnswers,
                                         .order = "svf+expert-union",
                                         .max_still_seconds = 0,
                                         .min_decode_groups = 2})
                           .value();
  EXPECT_LE(Answer(*batcher, *engine).most_steps_still, 1U);
}

TEST(GroupedDecode, ChargesWhatItCounts) {
  const auto engine = LoadPaged();
  const auto index = [&] { return engine->ledger().of(memory::Account::kIndex); };
  const uint64_t before = index().bytes;
  const auto batcher = engine
                           ->NewBatcher({.n_parallel = kAnswers,
                                         .order = "expert-union",
                                         .min_decode_groups = 2,
                                         .prefix_cache = false})
                           .value();
  EXPECT_EQ(index().bytes, before);
  EXPECT_EQ(Answer(*batcher, *engine).texts.size(), kAnswers);
  const uint64_t for_rates = kAnswers * engine->paging()->n_pages * sizeof(float);
  EXPECT_GE(index().high_water_bytes, before + for_rates);
  EXPECT_EQ(index().bytes, before);
}

TEST(GroupedDecode, IsForExpertsThatArePaged) {
  const auto engine = LoadBundled(256, kAnswers);
  const auto batcher =
      engine->NewBatcher({.n_parallel = kAnswers, .order = "expert-union", .min_decode_groups = 2})
          .value();
  const GroupedCourse course = Answer(*batcher, *engine);
  EXPECT_EQ(course.most_groups, 1U);
  EXPECT_EQ(course.most_steps_still, 0U);
}

}  // namespace
}  // namespace plimsoll::engine::batch
