// Sequences that keep only some of their keys and values: what they may not change, and what they
// may not pass.
#include <string>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"

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
                                            .positions = way.positions}},
                             {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

// Stories and questions, of as many tokens.
std::vector<TokenId> Text(const Engine& engine, size_t n_tokens, const std::string& begin = "") {
  std::string text = "<|im_start|>user\n" + begin;
  for (int i = 0; text.size() < 16 * n_tokens; ++i) {
    text += " The code of the " + std::string(i % 2 == 0 ? "red" : "blue") + " lamp is " +
            std::to_string(1000 + i * 7) + ". Ada walked to the river.";
  }
  auto tokens = engine.tokenizer().Encode(text, {.parse_special = true});
  tokens.resize(n_tokens);
  return tokens;
}

// Of every token, after appending pieces of these sizes, the last as often as needed.
std::vector<float> AllLogits(Engine& engine, std::span<const TokenId> tokens,
                             const std::vector<size_t>& pieces) {
  auto session = engine.NewSession().value();
  std::vector<float> all;
  for (size_t i = 0, done = 0; done < tokens.size(); ++i) {
    const size_t n = std::min(pieces[std::min(i, pieces.size() - 1)], tokens.size() - done);
    EXPECT_TRUE(session->Append(tokens.subspan(done, n),
                                [&](uint32_t /*index*/, std::span<const float> logits) {
                                  all.insert(all.end(), logits.begin(), logits.end());
                                }));
    done += n;
  }
  return all;
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

std::string Say(Session& session, std::span<const TokenId> prompt) {
  std::string said;
  auto stats = session.Generate(prompt, {.sampling = {.temperature = 0}, .n_predict = 48},
                                [&](std::string_view text) {
                                  said += text;
                                  return true;
                                });
  EXPECT_TRUE(stats) << (stats ? "" : stats.error().message);
  return said;
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

class KvWindowBatch : public testing::TestWithParam<kv::policy::Positions> {};

TEST_P(KvWindowBatch, SaysWhatASessionSays) {
  const auto engine = LoadWith({.n_parallel = 3, .positions = GetParam()});
  const auto alone = LoadWith({.positions = GetParam()});
  const auto batcher = engine->NewBatcher({.n_parallel = 3}).value();
  std::vector<std::shared_ptr<batch::Heard>> heard;
  std::vector<std::vector<TokenId>> prompts;
  for (const size_t n : {size_t{40}, size_t{700}, size_t{300}}) {
    prompts.push_back(Text(*engine, n));
    heard.push_back(std::make_shared<batch::Heard>());
    batcher->Add(
        RequestId{n},
        {.prompt = prompts.back(), .options = {.sampling = {.temperature = 0}, .n_predict = 48}},
        heard.back(), batch::Clock::now());
  }
  batch::Finish(*batcher);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(heard[i]->text, Say(*alone->NewSession().value(), prompts[i])) << i;
  }
  EXPECT_EQ(engine->ledger().of(memory::Account::kPrefix).bytes, 0U);
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
    EXPECT_NE(engine.error().message.find("--kv-positions compact: keys of layer"),
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
        kv::policy::PolicyOptions{.kind = PolicyKind::kWindow, .budget = SizeSpec{.percent = 5}}}) {
    const auto engine = load(policy);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
    EXPECT_NE(engine.error().message.find("--kv-budget"), std::string::npos);
  }
}

}  // namespace
}  // namespace plimsoll::engine
