// Sequences that keep what the episode of their question looks at: what that may not change, what
// it may not pass, and when a history is read anew. kv_scored_test.cc has those that go by the
// newest tokens.
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"
#include "kv/policy/episodes.h"
#include "tests/policy_test_tools.h"

namespace plimsoll::engine {
namespace {

using kv::policy::PolicyKind;

struct Way {
  uint32_t n_ctx = 1024;
  uint32_t n_threads = 1;
  uint32_t prefill_chunk = 512;
  SizeSpec budget = {.percent = 35};
  uint32_t n_parallel = 1;
  bool batches = false;
  std::string kernels = {};
  PolicyKind policy = PolicyKind::kEpisode;
};

std::unique_ptr<Engine> LoadWith(const Way& way = {}) {
  auto engine = Engine::Load({.n_ctx = way.n_ctx,
                              .n_parallel = way.n_parallel,
                              .n_threads = way.n_threads,
                              .prefill_chunk = way.prefill_chunk,
                              .batches = way.batches,
                              .kv_policy = {.kind = way.policy, .budget = way.budget},
                              .kernels = way.kernels},
                             {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

constexpr std::array<std::string_view, 4> kTopics = {
    " The code of the red lamp is 4711. The lamp was dark, and the key was lost.",
    " The capital of France is Paris. Spain and Italy have Madrid and Rome.",
    " Ada walked to the river. The fox by the bridge was happy and brave.",
    " \"Where is the boat?\" asked Ben. One rainy morning the market felt lonely."};

// So many tokens about one thing.
std::vector<TokenId> About(const Engine& engine, size_t topic, size_t n) {
  std::string text;
  while (text.size() < 8 * n) {
    text += kTopics[topic];
  }
  auto tokens = batch::Encode(engine, text);
  tokens.resize(n);
  return tokens;
}

std::vector<TokenId> Behind(std::vector<TokenId> before, const std::vector<TokenId>& more) {
  before.insert(before.end(), more.begin(), more.end());
  return before;
}

// Of an answer, and of text behind it.
std::vector<float> LogitsBehind(Engine& engine, std::span<const TokenId> prompt) {
  const auto session = engine.NewSession().value();
  (void)Say(*session, prompt, 20);
  std::vector<float> all;
  EXPECT_TRUE(session->Append(Text(engine, 60), [&](uint32_t, std::span<const float> logits) {
    all.insert(all.end(), logits.begin(), logits.end());
  }));
  return all;
}

TEST(KvEpisode, ThreadsChunksAndKernelsChangeNoBit) {
  const auto engine = LoadWith();
  const auto prompt = Text(*engine, 450);
  ASSERT_FALSE(kv::policy::PatchPrompt(prompt).empty());
  const auto expected = LogitsBehind(*engine, prompt);
  EXPECT_EQ(LogitsBehind(*LoadWith({.n_threads = 2, .prefill_chunk = 37}), prompt), expected);
  EXPECT_EQ(LogitsBehind(*LoadWith({.prefill_chunk = 7}), prompt), expected);
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    if (set->supported()) {
      EXPECT_EQ(LogitsBehind(*LoadWith({.kernels = std::string(set->name)}), prompt), expected)
          << set->name;
    }
  }
}

// It does what it is for: without a prompt, the newest block would decide.
TEST(KvEpisode, ThePatchPromptDecides) {
  const auto engine = LoadWith();
  const auto prompt = Text(*engine, 600);
  const auto tail = std::span(prompt).last(1);
  const auto session = engine->NewSession().value();
  const auto logits = session->AppendForLogits(prompt).value();
  const std::vector<float> looked(logits.begin(), logits.end());
  session->Truncate(0);
  ASSERT_TRUE(session->Append(std::span(prompt).first(599), {}));
  const auto others = session->AppendForLogits(tail).value();
  EXPECT_NE(looked, std::vector<float>(others.begin(), others.end()));
}

TEST(KvEpisode, WithoutAPromptItIsSnap) {
  // The same slots: two blocks of the context's 32 are a query block's and one that looks.
  const auto episode = LoadWith({.budget = {.percent = 37.5}});
  const auto snap = LoadWith({.budget = {.percent = 34.375}, .policy = PolicyKind::kSnap});
  const auto tokens = Text(*episode, 700);
  EXPECT_EQ(AllLogits(*episode, tokens, {500, 1, 90}), AllLogits(*snap, tokens, {700}));
}

// A session promises all its blocks at its start, so this is about what it promises and that it
// does with that; EpisodeSequenceTest counts block by block.
TEST(KvEpisode, NeverPassesItsBudgetAtFiftyTimes) {
  constexpr uint32_t kContext = 5120;
  const auto engine = LoadWith({.n_ctx = kContext, .n_threads = 2, .budget = {.percent = 3.125}});
  const uint64_t bytes = [&] {  // all that five blocks take
    const auto whole = LoadWith({.n_ctx = 1024, .budget = {.percent = 100}});
    const auto session = whole->NewSession();
    return whole->ledger().of(memory::Account::kKv).high_water_bytes * 5 / 32;
  }();
  const auto session = engine->NewSession().value();
  const auto prompt = Text(*engine, 50 * 3 * kv::kBlockTokens);
  uint32_t n_seen = 0;
  ASSERT_TRUE(session->Generate(
      prompt, {.sampling = {.temperature = 0}, .n_predict = 40, .ignore_end = true},
      [&](std::string_view) {
        ++n_seen;
        EXPECT_LE(engine->ledger().of(memory::Account::kKv).bytes, bytes);
        return true;
      }));
  EXPECT_GT(n_seen, 100U);
  EXPECT_LE(engine->ledger().of(memory::Account::kKv).high_water_bytes, bytes);
}

// A second question of another episode finds what it would have found first; one of the same
// episode finds what is there.
TEST(KvEpisode, AnotherEpisodesQuestionReadsTheHistoryAnew) {
  const Way way = {.n_ctx = 2048};
  const auto engine = LoadWith(way);
  std::vector<TokenId> history;
  for (size_t topic = 0; topic < kTopics.size(); ++topic) {
    history = Behind(std::move(history), About(*engine, topic, 256));
  }
  const auto first = Behind(history, About(*engine, 0, 80));
  const auto second = Behind(first, About(*engine, 1, 80));
  const auto third = Behind(second, About(*engine, 1, 70));
  ASSERT_NE(kv::policy::PatchPrompt(first), kv::policy::PatchPrompt(second));
  ASSERT_EQ(kv::policy::PatchPrompt(second), kv::policy::PatchPrompt(third));
  const GenerateOptions options = {.sampling = {.temperature = 0}, .n_predict = 8};
  const auto ask = [&](Session& session, std::span<const TokenId> prompt) {
    std::string said;
    const auto stats = session.Generate(prompt, options, [&](std::string_view text) {
      said += text;
      return true;
    });
    EXPECT_TRUE(stats);
    return std::pair(said, stats->n_prompt_reused);
  };
  const auto used = engine->NewSession().value();
  for (const auto& [prompt, goes_on] :
       {std::pair(first, false), {second, false}, {third, true}, {first, false}}) {
    const auto other = LoadWith(way);
    const auto [said, n_reused] = ask(*used, prompt);
    EXPECT_EQ(said, ask(*other->NewSession().value(), prompt).first);
    EXPECT_EQ(n_reused > 0, goes_on) << prompt.size();
  }
}

// Wherever the next prompt leaves what the session held.
TEST(KvEpisode, AnswersDoNotDependOnWhatTheSessionHeld) {
  const auto engine = LoadWith();
  const auto before = Text(*engine, 700);
  const auto used = engine->NewSession().value();
  for (const size_t n_common : {size_t{5}, size_t{200}, size_t{400}, size_t{673}, size_t{700}}) {
    (void)Say(*used, before);
    const auto prompt =
        Behind({before.begin(), before.begin() + static_cast<ptrdiff_t>(n_common)},
               batch::Encode(*engine, "What is the code of the red lamp?<|im_end|>\n"));
    const auto other = LoadWith();
    EXPECT_EQ(Say(*used, prompt), Say(*other->NewSession().value(), prompt)) << n_common;
  }
}

TEST(KvEpisode, ABatchSaysWhatASessionSays) {
  const auto engine = LoadWith({.prefill_chunk = 64, .n_parallel = 3, .batches = true});
  const auto alone = LoadWith();
  ExpectBatchSaysWhatSessionsSay(*engine, *alone);
}

}  // namespace
}  // namespace plimsoll::engine
