// Models with recurrent layers: what was said stays the same, whatever company a request has, what
// of its prompt was there, and whether the process ended between two turns.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "engine/batch/batch_test_tools.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::engine::batch {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class HybridTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    random_model::ModelSpec spec;
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.arch = GetParam();
    spec.n_layers = 4;
    spec.logit_std = 6;
    file_ = fs::path(testing::TempDir()) /
            fmt::format("plimsoll_hybrid_{}_{}.gguf", GetParam(), ::getpid());
    folder_ = fs::path(testing::TempDir()) / fmt::format("plimsoll_hybrid_{}", ::getpid());
    const auto written = random_model::WriteRandomModel(spec, file_);
    ASSERT_TRUE(written) << written.error().message;
  }
  void TearDown() override {
    fs::remove(file_);
    fs::remove_all(folder_);
  }

  [[nodiscard]] EngineOptions Options(uint32_t n_parallel = 1) const {
    return {.model = file_,
            .n_ctx = 1024,
            .n_parallel = n_parallel,
            .n_threads = 2,
            .prefill_chunk = 48,
            .batches = true};
  }
  struct Run {
    std::unique_ptr<Engine> engine;
    std::unique_ptr<Batcher> batcher;
  };
  [[nodiscard]] Run Start(const EngineOptions& options, bool prefix_cache = true) const {
    auto engine = Engine::Load(options, {});
    EXPECT_TRUE(engine) << engine.error().message;
    auto batcher =
        (*engine)->NewBatcher({.n_parallel = options.n_parallel, .prefix_cache = prefix_cache});
    EXPECT_TRUE(batcher) << batcher.error().message;
    return {std::move(*engine), std::move(*batcher)};
  }
  static std::vector<TokenId> Draw(uint64_t seed, size_t n) {
    std::vector<TokenId> tokens;
    for (size_t i = 0; i < n; ++i) {
      tokens.push_back(static_cast<TokenId>(UniformAt(seed, i) * 500));
    }
    return tokens;
  }
  static std::vector<TokenId> Join(std::vector<TokenId> a, const std::vector<TokenId>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
  static std::shared_ptr<Heard> Add(Batcher& batcher, RequestId id, std::vector<TokenId> prompt,
                                    uint32_t n_predict = 20) {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.options.n_predict = n_predict;
    request.options.ignore_end = true;
    const auto heard = std::make_shared<Heard>();
    batcher.Add(id, std::move(request), heard, Clock::now());
    return heard;
  }
  static void FinishAll(Batcher& batcher) {
    for (auto outcome = Batcher::Outcome::kWorked; outcome != Batcher::Outcome::kIdle;) {
      outcome = batcher.Step(Clock::now());
      if (outcome == Batcher::Outcome::kPaused) {
        ::usleep(200);
      }
    }
  }
  // One request by itself: what was drawn, and how much of its prompt was there.
  static std::pair<std::vector<TokenId>, uint32_t> Ask(Batcher& batcher,
                                                       const std::vector<TokenId>& prompt) {
    const auto heard = Add(batcher, 1, prompt);
    FinishAll(batcher);
    EXPECT_EQ(heard->n_ends, 1);
    EXPECT_FALSE(heard->end.error);
    return {Drawn(*heard), heard->end.stats.n_prompt_reused};
  }
  static std::vector<TokenId> Drawn(const Heard& heard) {
    std::vector<TokenId> tokens;
    for (const GeneratedToken& token : heard.tokens) {
      tokens.push_back(token.token);
    }
    return tokens;
  }
  [[nodiscard]] std::vector<TokenId> Alone(const std::vector<TokenId>& prompt) const {
    return Ask(*Start(Options(), false).batcher, prompt).first;
  }

  fs::path file_;
  fs::path folder_;
};

TEST_P(HybridTest, BatchCompanyChangesNothing) {
  const Run run = Start(Options(4), false);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::shared_ptr<Heard>> heard;
  for (const size_t n : {5U, 130U, 61U, 33U}) {
    prompts.push_back(Draw(n, n));
    heard.push_back(Add(*run.batcher, n, prompts.back()));
    static_cast<void>(run.batcher->Step(Clock::now()));
  }
  FinishAll(*run.batcher);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(Drawn(*heard[i]), Alone(prompts[i])) << i;
  }
}

TEST_P(HybridTest, AConversationGoesOnFromTheEndOfItsLastPrompt) {
  const Run run = Start(Options());
  std::vector<TokenId> tokens = Draw(1, 300);
  for (int turn = 0; turn < 3; ++turn) {
    const auto before = static_cast<uint32_t>(tokens.size());
    const auto [drawn, reused] = Ask(*run.batcher, tokens);
    EXPECT_EQ(drawn, Alone(tokens));
    tokens = Join(Join(tokens, drawn), Draw(7 + static_cast<uint64_t>(turn), 70));
    EXPECT_EQ(reused, turn == 0 ? 0U : kv::LastMarkOf(before - 90));
  }
  // An answer that is drawn again, and another question in its place.
  tokens.resize(340);
  EXPECT_EQ(Ask(*run.batcher, tokens).second, kv::LastMarkOf(300));
}

// The first leaves the common beginning without a state there, the second makes one, the third goes
// on from it.
TEST_P(HybridTest, WhereRequestsPartThereIsAStateForTheThird) {
  const Run run = Start(Options());
  const auto common = Draw(1, 256);
  for (const uint64_t seed : {2U, 3U, 4U}) {
    const auto prompt = Join(common, Draw(seed, 100));
    const auto [drawn, reused] = Ask(*run.batcher, prompt);
    EXPECT_EQ(drawn, Alone(prompt));
    EXPECT_EQ(reused, seed == 4 ? 256U : 0U);
  }
}

TEST_P(HybridTest, ThoseWhoAskTheSameWaitForOneToComputeIt) {
  const Run run = Start(Options(3));
  const auto prompt = Draw(1, 300);
  std::vector<std::shared_ptr<Heard>> heard;
  for (RequestId id = 1; id <= 3; ++id) {
    heard.push_back(Add(*run.batcher, id, prompt));
  }
  FinishAll(*run.batcher);
  for (const auto& one : heard) {
    EXPECT_EQ(Drawn(*one), Drawn(*heard[0]));
  }
  EXPECT_EQ(heard[1]->end.stats.n_prompt_reused, kv::LastMarkOf(300));
  EXPECT_EQ(Drawn(*heard[0]), Alone(prompt));
}

// A line that has room for one context alone: those who run give their memory up and compute it
// anew, and states of the cache go for blocks.
TEST_P(HybridTest, UnderATightLineTheAnswersAreTheSame) {
  EngineOptions options = Options();
  options.n_ctx = 512;
  auto needs = Start(options).engine->ledger();
  options.memory = SizeSpec{.bytes = needs.reserved_bytes + 4 * kMiB};
  const Run run = Start(options);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::shared_ptr<Heard>> heard;
  for (uint64_t i = 0; i < 24; ++i) {
    prompts.push_back(Join(Draw(i % 3, 150), Draw(10 + i, 60 + 10 * (i % 5))));
    heard.push_back(Add(*run.batcher, i + 1, prompts.back(), 60));
  }
  FinishAll(*run.batcher);
  for (size_t i = 0; i < prompts.size(); i += 5) {
    ASSERT_FALSE(heard[i]->end.error) << heard[i]->end.error->message;
    const auto alone = Start(Options(), false);
    const auto expected = Add(*alone.batcher, 1, prompts[i], 60);
    FinishAll(*alone.batcher);
    EXPECT_EQ(Drawn(*heard[i]), Drawn(*expected)) << i;
  }
  const memory::LedgerSnapshot ledger = run.engine->ledger();
  EXPECT_LE(ledger.high_water_bytes, ledger.budget_bytes);
}

TEST_P(HybridTest, AConversationGoesOnInTheNextRun) {
  EngineOptions options = Options();
  options.kv_disk = {.folder = folder_, .bytes = 64 * kMiB, .folder_bytes = 64 * kMiB};
  std::vector<TokenId> tokens = Draw(1, 300);
  {
    const Run run = Start(options);
    const auto [drawn, reused] = Ask(*run.batcher, tokens);
    EXPECT_EQ(reused, 0U);
    tokens = Join(Join(tokens, drawn), Draw(2, 50));
  }
  const auto expected = Alone(tokens);
  {
    const Run run = Start(options);
    const auto [drawn, reused] = Ask(*run.batcher, tokens);
    EXPECT_EQ(reused, kv::LastMarkOf(300));
    EXPECT_EQ(drawn, expected);
  }
  // What is damaged is computed.
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (entry.path().filename() == "blocks") {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      for (uint64_t at = 100; at < fs::file_size(entry.path()); at += 4096) {
        file.seekp(static_cast<std::streamoff>(at));
        file.put('x');
      }
    }
  }
  const Run run = Start(options);
  EXPECT_EQ(Ask(*run.batcher, tokens).first, expected);
}

TEST_P(HybridTest, ASessionGoesOnFromItsFile) {
  const auto path = folder_ / "session";
  fs::create_directories(folder_);
  const auto say = [](Session& session, const std::vector<TokenId>& prompt) {
    GenerateOptions options{.n_predict = 20, .ignore_end = true};
    const auto stats = session.Generate(prompt, options, [](std::string_view) { return true; });
    EXPECT_TRUE(stats) << stats.error().message;
    return stats->n_prompt_reused;
  };
  auto engine = Engine::Load(Options(), {}).value();
  std::vector<TokenId> tokens = Draw(1, 300);
  {
    auto session = engine->NewSession().value();
    EXPECT_EQ(say(*session, tokens), 0U);
    tokens.assign(session->tokens().begin(), session->tokens().end());
    const auto saved = session->Save(path, "");
    ASSERT_TRUE(saved) << saved.error().message;
  }
  const auto next = Join(tokens, Draw(2, 50));
  auto session = engine->NewSession().value();
  const auto restored = session->Restore(path);
  ASSERT_TRUE(restored) << restored.error().message;
  EXPECT_EQ(restored->problem, "");
  EXPECT_EQ(restored->n_restored, kv::LastMarkOf(300));
  EXPECT_EQ(say(*session, next), kv::LastMarkOf(300));
  const std::vector<TokenId> said(session->tokens().begin(), session->tokens().end());

  auto other = engine->NewSession().value();
  EXPECT_EQ(say(*other, next), 0U);
  EXPECT_TRUE(std::ranges::equal(other->tokens(), said));
  // Another question goes on from the end of the last prompt; what parts before begins anew.
  auto changed = next;
  changed.back() = 7;
  EXPECT_EQ(say(*other, changed), kv::LastMarkOf(static_cast<uint32_t>(next.size())));
  changed[10] = 7;
  EXPECT_EQ(say(*other, changed), 0U);
}

TEST_P(HybridTest, PoliciesThatLetTokensGoAreRefused) {
  EngineOptions options = Options();
  options.kv_policy = {.kind = kv::policy::PolicyKind::kWindow, .budget = SizeSpec{.percent = 50}};
  const auto refused = Engine::Load(options, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(refused.error().message, HasSubstr("recurrent layers"));
}

INSTANTIATE_TEST_SUITE_P(Architectures, HybridTest, testing::Values("qwen3next", "qwen35moe"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace plimsoll::engine::batch
