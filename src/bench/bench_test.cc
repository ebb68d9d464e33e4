// Over the bundled model: what is run, what it must do at least, and what is reported.
#include "bench/bench.h"

#include <gmock/gmock.h>

#include "bench/timing.h"

namespace plimsoll::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<engine::Engine> Bundled(const engine::EngineOptions& options) {
  auto engine = engine::Engine::Load(options, {});
  EXPECT_TRUE(engine) << engine.error().message;
  return std::move(*engine);
}

TEST(WorkOf, GeneratingReadsWhatEachTokenReads) {
  const auto engine = Bundled({.n_ctx = 64, .n_threads = 1});
  const formats::Summary& contents = engine->contents();
  const Work one = WorkOf(*engine, {.n_gen = 1, .n_depth = 9});
  EXPECT_EQ(one.read_bytes, contents.bytes_per_token.total() + engine->AttentionAt(9).kv_bytes);
  EXPECT_EQ(one.weight_multiply_adds, contents.parameters_active);
  EXPECT_EQ(one.attention_multiply_adds, engine->AttentionAt(9).multiply_adds);
  const Work next = WorkOf(*engine, {.n_gen = 1, .n_depth = 10});
  const Work both = WorkOf(*engine, {.n_gen = 2, .n_depth = 9});
  EXPECT_EQ(both.read_bytes, one.read_bytes + next.read_bytes);
  EXPECT_EQ(both.multiply_adds(), one.multiply_adds() + next.multiply_adds());
}

TEST(WorkOf, APromptReadsItsWeightsOnceAChunkAndMakesOneRowOfLogits) {
  const auto engine = Bundled({.n_ctx = 2048, .n_threads = 1, .prefill_chunk = 512});
  const formats::Summary& contents = engine->contents();
  const formats::ReadPerToken& one = contents.bytes_per_token;
  const uint64_t experts = contents.of(formats::TensorKind::kExperts).bytes;
  ASSERT_GT(experts, one.experts);
  const uint64_t output = contents
                              .of(contents.output_is_tied ? formats::TensorKind::kEmbedding
                                                          : formats::TensorKind::kOutput)
                              .parameters;
  const Work chunk = WorkOf(*engine, {.n_prompt = 512});
  EXPECT_EQ(chunk.read_bytes, one.dense + experts + one.output + 512 * one.embedding_row +
                                  engine->AttentionAt(511).kv_bytes);
  EXPECT_EQ(chunk.weight_multiply_adds, 512 * (contents.parameters_active - output) + output);
  const Work two = WorkOf(*engine, {.n_prompt = 1024});
  EXPECT_EQ(two.read_bytes, 2 * (one.dense + experts) + one.output + 1024 * one.embedding_row +
                                engine->AttentionAt(511).kv_bytes +
                                engine->AttentionAt(1023).kv_bytes);
}

TEST(TokenSource, TakesATextPieceByPiece) {
  const TokenSource text = {.vocab_size = 100, .text = {1, 2, 3, 4, 5, 6, 7}};
  EXPECT_THAT(text.Fill(0, 2), ElementsAre(1, 2));
  EXPECT_THAT(text.Timed(0, 2, 5), ElementsAre(3, 4, 5));
  EXPECT_THAT(text.Timed(1, 2, 5), ElementsAre(6, 7, 1));
  const TokenSource random = {.vocab_size = 100, .text = {}};
  EXPECT_EQ(random.Timed(0, 2, 5), random.Timed(0, 2, 5));
  EXPECT_NE(random.Timed(0, 2, 5), random.Timed(1, 2, 5));
}

TEST(TestRunner, TimesEachRepetitionAndLeavesTheDepth) {
  const auto engine = Bundled({.n_ctx = 64, .n_threads = 1});
  const auto session = engine->NewSession().value();
  std::vector<std::string> phases;
  const RunOptions options = {
      .repetitions = 2, .on_phase = [&](std::string_view phase) { phases.emplace_back(phase); }};
  TestRunner runner(*session, {.vocab_size = engine->tokenizer().size(), .text = {}}, 16);
  const auto run = runner.Run({.n_prompt = 8, .n_gen = 3, .n_depth = 20}, options);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->samples_ns.size(), 2);
  EXPECT_GT(run->samples_ns.front(), 0);
  // Two passes fill the depth, two warm up, then the prompt and three tokens.
  ASSERT_EQ(run->passes.size(), 2);
  EXPECT_EQ(run->passes[0].begin, 4);
  EXPECT_EQ(run->passes[0].end, 8);
  EXPECT_EQ(run->passes[1].begin, 8);
  EXPECT_EQ(session->tokens().size(), 20);
  EXPECT_THAT(phases, ElementsAre("filling the depth", "warming up", "1 of 2", "2 of 2"));
  // The next test keeps what is there, and a shallower one cuts it.
  phases.clear();
  const std::vector<TokenId> kept(session->tokens().begin(), session->tokens().end());
  ASSERT_TRUE(runner.Run({.n_gen = 1, .n_depth = 5},
                         {.repetitions = 1, .warm_up = false, .on_phase = options.on_phase}));
  EXPECT_THAT(phases, ElementsAre("1 of 1"));
  EXPECT_EQ(run->warm_up.begin, 3);
  EXPECT_EQ(run->warm_up.end, 4);
  // Warmed up longer, but never beyond what is timed.
  const auto longer =
      runner.Run({.n_gen = 4, .n_depth = 5}, {.repetitions = 1, .warm_up_tokens = 64});
  ASSERT_TRUE(longer);
  EXPECT_EQ(longer->warm_up.end - longer->warm_up.begin, 4);
  EXPECT_EQ(longer->passes[0].begin, longer->warm_up.end);
  ASSERT_EQ(session->tokens().size(), 5);
  EXPECT_TRUE(std::equal(session->tokens().begin(), session->tokens().end(), kept.begin()));
}

// The rows of a run over the bundled model, as "kernels threads chunk test".
struct Recorder {
  Result<> Run(const BenchPlan& plan) {
    return RunBench(
        plan,
        {.load =
             [](const engine::EngineOptions& options) { return engine::Engine::Load(options, {}); },
         .on_phase = [](std::string_view) {},
         .on_result =
             [this](const Subject& subject, const TestResult& result) {
               rows.push_back(fmt::format("{} {} {} {}", subject.kernels, subject.n_threads,
                                          subject.prefill_chunk, result.test.Name()));
               subjects.push_back(subject);
               results.push_back(result);
               return Result<>();
             }});
  }
  std::vector<std::string> rows;
  std::vector<Subject> subjects;
  std::vector<TestResult> results;
};

TEST(RunBench, RunsEveryTestWithEverySetting) {
  Recorder recorder;
  BenchPlan plan;
  plan.kernels = {"ref"};
  plan.prefill_chunks = {32, 8};
  plan.n_threads = {1, 2};
  plan.tests = {{.n_prompt = 4}, {.n_gen = 2, .n_depth = 3}};
  plan.repetitions = 2;
  const auto run = recorder.Run(plan);
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_THAT(recorder.rows,
              ElementsAre("ref 1 32 pp4", "ref 1 32 tg2 @ d3", "ref 2 32 pp4", "ref 2 32 tg2 @ d3",
                          "ref 1 8 pp4", "ref 1 8 tg2 @ d3", "ref 2 8 pp4", "ref 2 8 tg2 @ d3"));
  const Subject& subject = recorder.subjects[0];
  EXPECT_EQ(subject.model_filename, engine::BundledModelName());
  EXPECT_TRUE(subject.is_quantized);
  EXPECT_GT(subject.model_n_params, 1'000'000);
  const TestResult& result = recorder.results[0];
  EXPECT_EQ(result.samples_ns.size(), 2);
  // The weights are part of it, the buffer of the peaks is not.
  EXPECT_GT(result.peak_memory_bytes, subject.model_bytes);
  EXPECT_LT(result.peak_memory_bytes, PeakBufferBytes(subject.line_bytes));
  EXPECT_GT(result.kv_bytes, 0);
}

TEST(RunBench, RefusesWhatCannotBe) {
  Recorder recorder;
  EXPECT_EQ(recorder.Run({}).error().kind, ErrorKind::kUsage);
  BenchPlan plan;
  plan.tests = {{.n_gen = 1}};
  plan.memory = {SizeSpec{.bytes = kMiB}};
  const auto small = recorder.Run(plan);
  EXPECT_EQ(small.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_THAT(small.error().message, HasSubstr("--memory"));
  plan.memory = {SizeSpec{.percent = 150}};
  plan.models = {"/nonexistent.gguf"};
  EXPECT_EQ(recorder.Run(plan).error().kind, ErrorKind::kIo);
  EXPECT_TRUE(recorder.rows.empty());
}

}  // namespace
}  // namespace plimsoll::bench
