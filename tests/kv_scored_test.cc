// Sequences that keep what attention looks at: what they may not change, and what they may not
// pass. kv_window_test.cc has the same for windows.
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/engine.h"
#include "tests/policy_test_tools.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::engine {
namespace {

using kv::policy::PolicyKind;

constexpr uint32_t kContext = 1024;

struct Way {
  uint32_t n_threads = 1;
  uint32_t prefill_chunk = 512;
  std::optional<std::filesystem::path> model = {};  // none: the bundled one
  PolicyKind policy = PolicyKind::kBlock;
  std::optional<SizeSpec> budget = SizeSpec{.percent = 25};
  tensor::KvType type = tensor::KvType::kF16;
  uint32_t n_parallel = 1;
  std::string kernels = {};
};

std::unique_ptr<Engine> LoadWith(const Way& way) {
  auto engine = Engine::Load(
      {.model = way.model,
       .n_ctx = kContext,
       .n_parallel = way.n_parallel,
       .n_threads = way.n_threads,
       .prefill_chunk = way.prefill_chunk,
       .kv = {.type = way.type, .layers = {}},
       .kv_policy = {.kind = way.budget ? way.policy : PolicyKind::kFull, .budget = way.budget},
       .kernels = way.kernels},
      {});
  EXPECT_TRUE(engine) << (engine ? "" : engine.error().message);
  return std::move(*engine);
}

class KvScored : public testing::TestWithParam<PolicyKind> {
 protected:
  // With a quarter of the bundled model's context so many are there as they would be with all of
  // it: less the block that the queries take; of kArkv the originals, of which there are three.
  static uint32_t TokensLikeFull() {
    return GetParam() == PolicyKind::kArkv ? 3 * kv::kBlockTokens : kContext / 4 - kv::kBlockTokens;
  }

  // With the policy that is tested.
  static std::unique_ptr<Engine> LoadSome(Way way = {}) {
    way.policy = GetParam();
    if (way.policy == PolicyKind::kArkv) {
      way.type = tensor::KvType::kQ8;
    }
    return LoadWith(way);
  }
};

TEST_P(KvScored, ThreadsChunksPiecesAndKernelsChangeNoBit) {
  const auto engine = LoadSome();
  const auto tokens = Text(*engine, 700);
  const auto expected = AllLogits(*engine, tokens, {700});
  EXPECT_EQ(AllLogits(*engine, tokens, {300, 1, 40, 95}), expected);
  EXPECT_EQ(AllLogits(*LoadSome({.n_threads = 2, .prefill_chunk = 37}), tokens, {700}), expected);
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    if (set->supported()) {
      EXPECT_EQ(AllLogits(*LoadSome({.kernels = std::string(set->name)}), tokens, {700}), expected)
          << set->name;
    }
  }
}

// In four bits the open blocks and those of queries take more of a budget. Snap, which would have
// to move quantized keys, is refused: SnapWantsKeysThatCanMoveOneByOne.
TEST(KvScoredBlocks, ChunksAndPiecesChangeNoBitOfQuantizedOnes) {
  for (const PolicyKind kind : {PolicyKind::kBlock, PolicyKind::kArkv}) {
    Way way = {.policy = kind, .budget = SizeSpec{.percent = 50}, .type = tensor::KvType::kQ4};
    const auto engine = LoadWith(way);
    const auto tokens = Text(*engine, 700);
    const auto expected = AllLogits(*engine, tokens, {700});
    EXPECT_EQ(AllLogits(*engine, tokens, {490, 1, 40, 95}), expected);
    way.prefill_chunk = 37;
    EXPECT_EQ(AllLogits(*LoadWith(way), tokens, {700}), expected);
  }
}

TEST_P(KvScored, IsLikeFullUntilTheBudgetIsUsedUp) {
  const auto engine = LoadSome();
  const auto full = LoadWith({.budget = std::nullopt});
  const auto tokens = Text(*engine, TokensLikeFull() + 1);
  const auto some = AllLogits(*engine, tokens, {512});
  const auto all = AllLogits(*full, tokens, {512});
  const size_t vocab_size = all.size() / tokens.size();
  const size_t n_same = TokensLikeFull() * vocab_size;
  EXPECT_TRUE(std::equal(some.begin(), some.begin() + static_cast<ptrdiff_t>(n_same), all.begin()));
  EXPECT_FALSE(std::equal(some.begin(), some.end(), all.begin()));
}

TEST_P(KvScored, NeverPassesItsBudget) {
  const auto full = LoadWith({.budget = std::nullopt});
  const auto whole = full->NewSession();
  const uint64_t whole_bytes = full->ledger().of(memory::Account::kKv).high_water_bytes;
  for (const uint32_t percent : {16U, 25U, 50U}) {
    const auto engine = LoadSome({.budget = SizeSpec{.percent = static_cast<double>(percent)}});
    const auto tokens = Text(*engine, 1000);
    (void)AllLogits(*engine, tokens, {900, 1});
    EXPECT_LE(engine->ledger().of(memory::Account::kKv).high_water_bytes * 100,
              whole_bytes * percent)
        << percent;
  }
}

// What a session held before changes nothing, wherever the next prompt leaves it.
TEST_P(KvScored, AnswersDoNotDependOnWhatTheSessionHeld) {
  const auto engine = LoadSome();
  const auto before = Text(*engine, 700);
  const auto used = engine->NewSession().value();
  for (const size_t n_common : {size_t{5}, size_t{200}, size_t{400}, size_t{673}, size_t{700}}) {
    (void)Say(*used, before);
    std::vector<TokenId> prompt(before.begin(), before.begin() + static_cast<ptrdiff_t>(n_common));
    const auto question = batch::Encode(
        *engine, "What is the code of the red lamp?<|im_end|>\n<|im_start|>assistant\n");
    prompt.insert(prompt.end(), question.begin(), question.end());
    const auto other = LoadSome();
    EXPECT_EQ(Say(*used, prompt), Say(*other->NewSession().value(), prompt)) << n_common;
  }
}

TEST_P(KvScored, ABatchSaysWhatASessionSays) {
  const auto engine = LoadSome({.n_parallel = 3});
  const auto alone = LoadSome();
  ExpectBatchSaysWhatSessionsSay(*engine, *alone);
}

INSTANTIATE_TEST_SUITE_P(Kinds, KvScored,
                         testing::Values(PolicyKind::kBlock, PolicyKind::kSnap, PolicyKind::kArkv),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

// Windows, sinks, groups of heads, latents.
TEST(KvScoredModels, ScoresGiveTheSameBitsOnEveryArchitecture) {
  const auto file = std::filesystem::path(testing::TempDir()) /
                    fmt::format("plimsoll_policies_{}.gguf", ::getpid());
  for (const std::string_view arch : random_model::Architectures()) {
    random_model::ModelSpec spec;
    spec.arch = arch;
    if (spec.is_hybrid()) {
      continue;  // recurrent layers keep all tokens: hybrid_test has the refusal
    }
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    const auto written = random_model::WriteRandomModel(spec, file);
    ASSERT_TRUE(written) << written.error().message;
    std::vector<TokenId> tokens;
    for (uint32_t i = 0; i < 640; ++i) {
      tokens.push_back(static_cast<TokenId>(i * i * 31 % spec.vocab_size));
    }
    for (const PolicyKind kind : {PolicyKind::kBlock, PolicyKind::kSnap, PolicyKind::kArkv}) {
      if (kind == PolicyKind::kSnap && spec.window() > 0) {
        continue;
      }
      Way way = {.model = file, .policy = kind, .budget = SizeSpec{.percent = 50}};
      way.type = kind == PolicyKind::kArkv ? tensor::KvType::kQ8 : tensor::KvType::kF16;
      const auto expected = AllLogits(*LoadWith(way), tokens, {640});
      way.prefill_chunk = 37;
      way.n_threads = 2;
      way.kernels = "avx2";
      if (kernels::SelectKernelSet(way.kernels)) {
        EXPECT_EQ(AllLogits(*LoadWith(way), tokens, {500, 1, 70}), expected) << arch;
      }
    }
  }
  std::filesystem::remove(file);
}

TEST(KvScoredOptions, SnapWantsKeysThatCanMoveOneByOne) {
  const auto refusal = [](const EngineOptions& options) {
    const auto engine = Engine::Load(options, {});
    EXPECT_FALSE(engine);
    EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
    return engine.error().message;
  };
  EngineOptions options = {.n_ctx = kContext, .kv = {.layers = {}}};
  options.kv_policy = {.kind = PolicyKind::kSnap, .budget = SizeSpec{.percent = 50}};
  options.kv.layers = {{.first = 3, .last = 3, .type = tensor::KvType::kQ8}};
  EXPECT_NE(refusal(options).find("--kv-policy can't be snap where keys are quantized"),
            std::string::npos);

  const auto file =
      std::filesystem::path(testing::TempDir()) / fmt::format("plimsoll_snap_{}.gguf", ::getpid());
  random_model::ModelSpec spec;
  spec.arch = "llama";
  ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
  spec.sliding_window = 512;
  ASSERT_TRUE(random_model::WriteRandomModel(spec, file));
  options.model = file;
  options.kv.layers.clear();
  EXPECT_NE(refusal(options).find("--kv-policy can't be snap for a model"), std::string::npos);
  options.n_ctx = 512;  // which the window never cuts
  EXPECT_TRUE(Engine::Load(options, {}));
  std::filesystem::remove(file);
}

TEST(KvScoredOptions, ArkvWantsATypeToQuantizeTo) {
  const auto load = [](const kv::Precision& precision, double percent) {
    return Engine::Load(
        {.n_ctx = kContext,
         .kv = precision,
         .kv_policy = {.kind = PolicyKind::kArkv, .budget = SizeSpec{.percent = percent}}},
        {});
  };
  for (const tensor::KvType type : {tensor::KvType::kF16, tensor::KvType::kBF16}) {
    const auto engine = load({.type = type, .layers = {}}, 50);
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
    EXPECT_NE(engine.error().message.find("--kv-policy can't be arkv where keys and values are in "
                                          "16 bits throughout"),
              std::string::npos);
  }
  // One layer is enough.
  EXPECT_TRUE(load({.layers = {{.first = 3, .last = 3, .type = tensor::KvType::kQ8}}}, 50));
  const auto low = load({.type = tensor::KvType::kQ8, .layers = {}}, 14);
  ASSERT_FALSE(low);
  EXPECT_NE(low.error().message.find("--kv-budget is too low: a sequence needs 306 KiB (of 2.00 "
                                     "MiB for 1024 tokens)"),
            std::string::npos)
      << low.error().message;
}

// With room for everything nothing is quantized, and every bit is that of f16.
TEST(KvScoredOptions, ArkvWithRoomForAllIsLikeFull) {
  const auto engine = LoadWith({.policy = PolicyKind::kArkv,
                                .budget = SizeSpec{.percent = 110},
                                .type = tensor::KvType::kQ8});
  const auto full = LoadWith({.budget = std::nullopt});
  const auto tokens = Text(*engine, 700);
  EXPECT_EQ(AllLogits(*engine, tokens, {512}), AllLogits(*full, tokens, {512}));
}

TEST(KvScoredOptions, ABudgetHasRoomForTheQueries) {
  const auto load = [](double percent) {
    return Engine::Load(
        {.n_ctx = kContext,
         .kv_policy = {.kind = PolicyKind::kBlock, .budget = SizeSpec{.percent = percent}}},
        {});
  };
  EXPECT_TRUE(load(12.5));  // three blocks and one
  const auto engine = load(12);
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().kind, ErrorKind::kUsage);
  EXPECT_NE(engine.error().message.find("--kv-budget is too low: a sequence needs 256 KiB"),
            std::string::npos);
}

}  // namespace
}  // namespace plimsoll::engine
