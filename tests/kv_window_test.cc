// Sequences that keep only some of their keys and values: what they may not change, and what they
// may not pass.
#include <algorithm>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"
#include "sampling/logprobs.h"
#include "tests/policy_test_tools.h"

namespace plimsoll::engine {
namespace {

constexpr uint32_t kContext = 1024;
constexpr uint32_t kBudgetTokens = kContext / 4;

struct Way {
  uint32_t n_threads = 1;
  uint32_t prefill_chunk = 512;
  std::optional<SizeSpec> budget = SizeSpec{.percent = 25};
  tensor::KvType type = tensor::KvType::kF16;
  uint32_t n_parallel = 1;
  kv::policy::Positions positions = kv::policy::Positions::kKept;
  kv::policy::Reference reference = {};
};

constexpr kv::policy::Positions kAllPositions[] = {kv::policy::Positions::kKept,
                                                   kv::policy::Positions::kCompact};

std::unique_ptr<Engine> LoadWith(const Way& way) {
  auto engine = Engine::Load({.n_ctx = kContext,
                              .n_parallel = way.n_parallel,
                              .n_threads = way.n_threads,
                              .prefill_chunk = way.prefill_chunk,
                              .kv = {.type = way.type, .layers = {}},
                              .kv_policy = {.kind = way.budget ? kv::policy::PolicyKind::kWindow
                                                               : kv::policy::PolicyKind::kFull,
                                            .budget = way.budget,
                                            .reference = way.reference,
                                            .positions = way.positions}},
                             {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

TEST(KvWindow, ThreadsChunksAndPiecesChangeNoBit) {
  for (const auto positions : kAllPositions) {
    const auto engine = LoadWith({.positions = positions});
    const auto tokens = Text(*engine, 700);
    const auto expected = AllLogits(*engine, tokens, {700});
    EXPECT_EQ(AllLogits(*engine, tokens, {300, 1, 40, 95}), expected);
    const auto other = LoadWith({.n_threads = 2, .prefill_chunk = 37, .positions = positions});
    EXPECT_EQ(AllLogits(*other, tokens, {700}), expected);
  }
}

TEST(KvWindow, NorWithQuantizedBlocks) {
  const auto engine = LoadWith({.type = tensor::KvType::kQ4});
  const auto tokens = Text(*engine, 500);
  const auto expected = AllLogits(*engine, tokens, {500});
  EXPECT_EQ(AllLogits(*engine, tokens, {290, 1, 40, 95}), expected);
  EXPECT_EQ(AllLogits(*LoadWith({.prefill_chunk = 37, .type = tensor::KvType::kQ4}), tokens, {500}),
            expected);
}

TEST(KvWindow, IsLikeFullUntilTheBudgetIsUsedUp) {
  const auto engine = LoadWith({});
  const auto full = LoadWith({.budget = std::nullopt});
  const auto tokens = Text(*engine, kBudgetTokens + 1);
  const auto some = AllLogits(*engine, tokens, {512});
  const auto all = AllLogits(*full, tokens, {512});
  const size_t vocab_size = all.size() / tokens.size();
  const size_t n_same = kBudgetTokens * vocab_size;
  EXPECT_TRUE(std::equal(some.begin(), some.begin() + static_cast<ptrdiff_t>(n_same), all.begin()));
  EXPECT_FALSE(std::equal(some.begin(), some.end(), all.begin()));
}

// Until blocks are dropped both are the same; then keys that are turned are others.
TEST(KvWindow, CompactPositionsBeginWhereTokensAreGone) {
  const auto kept = LoadWith({});
  const auto compact = LoadWith({.positions = kv::policy::Positions::kCompact});
  const auto tokens = Text(*kept, kBudgetTokens + 1);
  const auto some = AllLogits(*kept, tokens, {512});
  const auto all = AllLogits(*compact, tokens, {512});
  const auto n_same = static_cast<ptrdiff_t>(all.size() / tokens.size() * kBudgetTokens);
  EXPECT_TRUE(std::equal(some.begin(), some.begin() + n_same, all.begin()));
  EXPECT_FALSE(std::equal(some.begin(), some.end(), all.begin()));
}

// How unlikely tokens were behind those before them, in nats a token.
double MeanNll(const std::vector<float>& logits, std::span<const TokenId> tokens) {
  const size_t vocab_size = logits.size() / tokens.size();
  double sum = 0;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const auto row = std::span(logits).subspan(i * vocab_size, vocab_size);
    sum += sampling::LogSumExp(row) - static_cast<double>(row[static_cast<size_t>(tokens[i + 1])]);
  }
  return sum / static_cast<double>(tokens.size() - 1);
}

// RoPE sees distances, and only those to the first block have changed: keys that were turned
// wrongly would read nothing.
TEST(KvWindow, CompactPositionsReadAsWell) {
  const auto kept = LoadWith({});
  const auto tokens = Text(*kept, 1000);
  const double nll = MeanNll(AllLogits(*kept, tokens, {1000}), tokens);
  const auto compact = LoadWith({.positions = kv::policy::Positions::kCompact});
  EXPECT_NEAR(MeanNll(AllLogits(*compact, tokens, {1000}), tokens), nll, 0.02 * nll);
}

TEST(KvWindow, NeverPassesItsBudget) {
  const auto full = LoadWith({.budget = std::nullopt});
  const auto whole = full->NewSession();
  const uint64_t whole_bytes = full->ledger().of(memory::Account::kKv).high_water_bytes;
  for (const uint32_t percent : {10U, 25U, 50U}) {
    const auto engine = LoadWith({.budget = SizeSpec{.percent = static_cast<double>(percent)}});
    const auto tokens = Text(*engine, 1000);
    (void)AllLogits(*engine, tokens, {900, 1});
    EXPECT_LE(engine->ledger().of(memory::Account::kKv).high_water_bytes * 100,
              whole_bytes * percent)
        << percent;
  }
}

// What a session held before changes nothing, wherever the next prompt leaves it.
TEST(KvWindow, AnswersDoNotDependOnWhatTheSessionHeld) {
  for (const auto positions : kAllPositions) {
    const auto engine = LoadWith({.positions = positions});
    const auto before = Text(*engine, 700);
    const auto used = engine->NewSession().value();
    for (const size_t n_common : {size_t{5}, size_t{200}, size_t{400}, size_t{673}, size_t{700}}) {
      (void)Say(*used, before);
      std::vector<TokenId> prompt(before.begin(),
                                  before.begin() + static_cast<ptrdiff_t>(n_common));
      const auto question = batch::Encode(
          *engine, "What is the code of the red lamp?<|im_end|>\n<|im_start|>assistant\n");
      prompt.insert(prompt.end(), question.begin(), question.end());
      const auto other = LoadWith({.positions = positions});
      EXPECT_EQ(Say(*used, prompt), Say(*other->NewSession().value(), prompt)) << n_common;
    }
  }
}

// A reference of as many tokens as the prompt has is the prompt, in a session and in a batch.
TEST(KvWindow, ThePromptIsAReference) {
  constexpr uint32_t kPrompt = 150;
  std::set<std::string> said;
  for (const auto positions : kAllPositions) {
    const auto engine = LoadWith({.positions = positions, .reference = {.is_prompt = true}});
    const auto prompt = Text(*engine, kPrompt);
    const auto fixed = LoadWith({.positions = positions, .reference = {.n_tokens = kPrompt}});
    const auto first = LoadWith({.positions = positions});
    const auto say = [&](Engine& which) {
      return Say(*which.NewSession().value(), prompt, 2 * kBudgetTokens);
    };
    const std::string expected = say(*fixed);
    EXPECT_EQ(say(*engine), expected);
    EXPECT_NE(say(*first), expected);
    const auto batcher = engine->NewBatcher({}).value();
    const auto heard = std::make_shared<batch::Heard>();
    batcher->Add(1,
                 {.prompt = prompt,
                  .options = {.sampling = {.temperature = 0},
                              .n_predict = 2 * kBudgetTokens,
                              .ignore_end = true}},
                 heard, batch::Clock::now());
    batch::Finish(*batcher);
    EXPECT_EQ(heard->text, expected);
    said.insert(expected);
  }
  EXPECT_EQ(said.size(), 2U);
}

TEST(KvWindow, AChatKeepsItsFirstPrompt) {
  const auto engine = LoadWith({.reference = {.is_prompt = true}});
  const auto first = Text(*engine, 100);
  auto second = Text(*engine, 700);
  const auto chat = engine->NewSession().value();
  (void)Say(*chat, first);
  const std::string said = Say(*chat, second);  // 700 tokens fit no reference, 100 do
  const auto fixed = LoadWith({.reference = {.n_tokens = 100}});
  EXPECT_EQ(said, Say(*fixed->NewSession().value(), second));
  // Another beginning is another chat, whose first prompt is refused where it is too long.
  std::ranges::reverse(second);
  const auto stats =
      chat->Generate(second, {.n_predict = 1}, [](std::string_view) { return true; });
  ASSERT_FALSE(stats);
  EXPECT_EQ(stats.error().kind, ErrorKind::kUsage);
  EXPECT_EQ(stats.error().message,
            "--kv-reference can't be a prompt of 700 tokens: beside a window, the budget has room "
            "for 192");
  second.resize(120);
  const auto fresh = LoadWith({.reference = {.is_prompt = true}});
  EXPECT_EQ(Say(*chat, second), Say(*fresh->NewSession().value(), second));
}

class KvWindowBatch : public testing::TestWithParam<kv::policy::Positions> {};

TEST_P(KvWindowBatch, SaysWhatASessionSays) {
  const auto engine = LoadWith({.n_parallel = 3, .positions = GetParam()});
  const auto alone = LoadWith({.positions = GetParam()});
  ExpectBatchSaysWhatSessionsSay(*engine, *alone);
}

INSTANTIATE_TEST_SUITE_P(Positions, KvWindowBatch, testing::ValuesIn(kAllPositions),
                         [](const auto& way) {
                           return way.param == kv::policy::Positions::kKept ? "kept" : "compact";
                         });

TEST(KvWindow, QuantizedKeysCannotMove) {
  const auto load = [](kv::Precision precision) {
    return Engine::Load({.n_ctx = kContext,
                         .kv = std::move(precision),
                         .kv_policy = {.kind = kv::policy::PolicyKind::kWindow,
                                       .budget = SizeSpec{.percent = 50},
                                       .positions = kv::policy::Positions::kCompact}},
                        {});
  };
  using tensor::KvType;
  for (const kv::Precision& precision :
       {kv::Precision{.type = KvType::kQ8, .layers = {}},
        kv::Precision{.type = KvType::kQ4, .layers = {}, .rotate = true},
        kv::Precision{.layers = {{.first = 3, .last = 3, .type = KvType::kQ8}}}}) {
    const auto engine = load(precision);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
    EXPECT_NE(engine.error().message.find("--kv-positions can't be compact: keys of layer"),
              std::string::npos);
  }
  EXPECT_TRUE(load({.type = KvType::kBF16, .layers = {}}));
}

TEST(KvWindow, WrongBudgetsAreRefused) {
  const auto load = [](const kv::policy::PolicyOptions& policy) {
    return Engine::Load({.n_ctx = kContext, .kv_policy = policy}, {});
  };
  using kv::policy::PolicyKind;
  for (const auto& policy :
       {kv::policy::PolicyOptions{.kind = PolicyKind::kWindow},
        kv::policy::PolicyOptions{.budget = SizeSpec{.percent = 50}},
        kv::policy::PolicyOptions{.kind = PolicyKind::kWindow, .budget = SizeSpec{.percent = 5}},
        kv::policy::PolicyOptions{.kind = PolicyKind::kWindow,
        .budget = SizeSpec{.percent = 25},
        .reference = {.n_tokens = 193}}}) {
    const auto engine = load(policy);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
    EXPECT_NE(engine.error().message.find("--kv-budget"), std::string::npos);
  }
}

}  // namespace
}  // namespace plimsoll::engine
