#include "eval/suite.h"

#include <gmock/gmock.h>

#include "eval/play.h"

namespace plimsoll::eval {
namespace {

std::unique_ptr<engine::Engine> LoadBundled(uint32_t n_threads, uint32_t prefill_chunk) {
  engine::EngineOptions options;
  options.n_ctx = 1024;
  options.n_threads = n_threads;
  options.prefill_chunk = prefill_chunk;
  auto engine = engine::Engine::Load(options, nullptr);
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(*engine);
}

SuiteOptions Small() {
  return {.tasks = {Task::kSingleKey, Task::kSharedContext, Task::kCopy}, .n_dialogues = 2};
}

Row Measure(engine::Engine& engine, SuiteOptions options) {
  auto suite = Suite::Make(engine, std::move(options));
  EXPECT_TRUE(suite) << suite.error().message;
  auto row = suite->Run(engine, {});
  EXPECT_TRUE(row) << row.error().message;
  return *row;
}

// Codes have four digits: chance is one in 9,000.
TEST(Suite, TheBundledModelFindsWhatItWasTold) {
  const auto engine = LoadBundled(1, 512);
  const Row row = Measure(*engine, Small());
  ASSERT_EQ(row.tasks.size(), 3U);
  EXPECT_GE(row.score(), 0.75);
  EXPECT_EQ(row.text.kl, 0);
  EXPECT_GT(row.text.n_tokens, 500U);
  EXPECT_LT(row.text.perplexity(), 4);
  EXPECT_EQ(row.peak_bytes, engine->ledger().of(memory::Account::kKv).bytes);
  EXPECT_GT(row.tokens_per_second, 0);
}

TEST(Suite, ThreadsAndChunksChangeNothing) {
  const auto engine = LoadBundled(1, 512);
  const auto other = LoadBundled(2, 37);
  const Row row = Measure(*engine, Small());
  const Row same = Measure(*other, Small());
  EXPECT_EQ(row.text.nll, same.text.nll);
  for (size_t i = 0; i < row.tasks.size(); ++i) {
    EXPECT_EQ(row.tasks[i].later.n_right, same.tasks[i].later.n_right);
    EXPECT_EQ(row.tasks[i].first.n_right, same.tasks[i].first.n_right);
    EXPECT_EQ(row.tasks[i].nll, same.tasks[i].nll);
  }
}

TEST(Play, RightAnswersAreLikelyAndWrongOnesAreNot) {
  const auto engine = LoadBundled(2, 512);
  auto session = engine->NewSession();
  ASSERT_TRUE(session);
  Dialogue dialogue = {.context = "The code of the red lamp is 4711.",
                       .turns = {{.question = "What is the code of the red lamp?",
                                  .answer = "The code of the red lamp is 4711.",
                                  .value = "4711"},
                                 {.question = "What is the code of the red lamp?",
                                  .answer = "The code of the red lamp is 1234.",
                                  .value = "1234"}}};
  const auto outcomes = Play(*engine, **session, dialogue);
  ASSERT_TRUE(outcomes) << outcomes.error().message;
  ASSERT_EQ(outcomes->size(), 2U);
  EXPECT_TRUE((*outcomes)[0].is_right);
  EXPECT_FALSE((*outcomes)[1].is_right);
  EXPECT_LT((*outcomes)[0].answer_nll, 0.5);
  EXPECT_GT((*outcomes)[1].answer_nll, (*outcomes)[0].answer_nll + 0.5);
}

TEST(Play, RefusesADialogueThatIsLongerThanTheContext) {
  const auto engine = LoadBundled(2, 512);
  auto session = engine->NewSession();
  ASSERT_TRUE(session);
  const auto outcomes = Play(*engine, **session, MakeDialogue(Task::kMultiKey, 1, 0, 200));
  ASSERT_FALSE(outcomes);
  EXPECT_EQ(outcomes.error().kind, ErrorKind::kUsage);
}

TEST(Report, HasAnArrayOfRowsAndATable) {
  const Row row = {.tasks = {{.task = Task::kCopy,
                              .first = {.n = 2, .n_right = 2},
                              .later = {.n = 4, .n_right = 1},
                              .nll = 0.5}},
                   .text = {.n_tokens = 10, .nll = 0, .kl = 0.25},
                   .peak_bytes = 2048,
                   .tokens_per_second = 100};
  EXPECT_EQ(ToJson({&row, 1}),
            R"([{"policy":"full","budget":"100%","precision":"f16","score":0.25,)"
            R"("score_turn_1":1,"kl":0.25,"perplexity":1,"peak_bytes":2048,)"
            R"("tokens_per_second":100,"tasks":[{"task":"copy","judged":4,"score":0.25,)"
            R"("score_turn_1":1,"answer_nll":0.5}]}])"
            "\n");
  EXPECT_THAT(ToTable({&row, 1}),
              testing::HasSubstr("| full | 100% | f16 | 1/4 | 0.250 | 1.000 | 0.5000 | 1.0000 | "
                                 "0.250000 | 2.00 KiB | 100 |"));
}

}  // namespace
}  // namespace plimsoll::eval
