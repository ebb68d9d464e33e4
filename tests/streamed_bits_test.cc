// The promise of the line where not even the dense weights fit: they stream through a ring, and no
// bit of the logits changes.
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "engine/engine.h"
#include "engine/planner.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

constexpr size_t kPrompt = 40;  // then as many tokens one by one
constexpr size_t kTokens = 52;

// With 8 MiB of dense weights and, but for llama, 6 MiB of experts.
class StreamedBitsTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    random_model::ModelSpec spec;
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.arch = GetParam();
    spec.type = tensor::DType::kQ8_0;
    spec.n_layers = 4;
    spec.hidden_dim = 512;
    spec.n_heads = spec.n_kv_heads = 8;
    spec.head_dim = 64;
    spec.ffn_dim = 1024;
    spec.expert_ffn_dim = 128;
    spec.n_experts = GetParam() == "llama" ? 0 : 8;
    spec.vocab_size = 3000;
    file_ = std::filesystem::path(testing::TempDir()) /
            fmt::format("plimsoll_streamed_{}_{}.gguf", GetParam(), ::getpid());
    const auto written = random_model::WriteRandomModel(spec, file_);
    ASSERT_TRUE(written) << written.error().message;
    for (size_t i = 0; i < kTokens; ++i) {
      tokens_.push_back(static_cast<TokenId>(i * 7919 % spec.vocab_size));
    }
    auto planner = engine::Planner::Open(Options());
    ASSERT_TRUE(planner) << planner.error().message;
    at_ = (*planner)->landmarks();
    ASSERT_LT(at_.least + 2 * kMiB, at_.dense);
    Run(Options(), resident_);
  }
  void TearDown() override { std::filesystem::remove(file_); }

  engine::EngineOptions Options() const {
    return {.model = file_, .n_ctx = 128, .n_threads = 2, .prefill_chunk = 32};
  }
  // A line between the least that runs (0) and the one at which all dense weights stay (1).
  uint64_t LineAt(double share) const {
    return at_.least + static_cast<uint64_t>(share * static_cast<double>(at_.dense - at_.least));
  }
  engine::EngineOptions OptionsAt(double share) const {
    engine::EngineOptions options = Options();
    options.memory = SizeSpec{.bytes = LineAt(share)};
    return options;
  }

  // Logits of the prompt and of each further token, before which the line may be moved.
  void Run(const engine::EngineOptions& options, std::vector<float>& logits,
           const std::vector<double>& moves = {}) {
    auto engine = engine::Engine::Load(options, {});
    ASSERT_TRUE(engine) << engine.error().message;
    auto session = (*engine)->NewSession();
    ASSERT_TRUE(session) << session.error().message;
    const auto keep = [&](uint32_t /*index*/, std::span<const float> row) {
      logits.insert(logits.end(), row.begin(), row.end());
    };
    const std::span<const TokenId> all = tokens_;
    const auto prompt = (*session)->Append(all.first(kPrompt), keep);
    ASSERT_TRUE(prompt) << prompt.error().message;
    for (size_t i = kPrompt; i < kTokens; ++i) {
      if (!moves.empty()) {
        const uint64_t line = LineAt(moves[i % moves.size()]);
        const auto moved = (*engine)->SetLine(line);
        ASSERT_TRUE(moved) << moved.error().message;
        EXPECT_LE((*engine)->ledger().reserved_bytes, line);
      }
      const auto appended = (*session)->Append(all.subspan(i, 1), keep);
      ASSERT_TRUE(appended) << appended.error().message;
    }
    const memory::LedgerSnapshot ledger = (*engine)->ledger();
    EXPECT_LE(ledger.reserved_bytes, ledger.budget_bytes);
    const auto streaming = (*engine)->streaming();
    EXPECT_EQ(streaming.has_value(), options.memory.has_value());
    if (streaming && moves.empty()) {
      EXPECT_LT(streaming->kept_bytes, streaming->total_bytes);
      EXPECT_GT(streaming->stream.bytes_read, streaming->total_bytes);
    }
  }

  void ExpectSameBits(const engine::EngineOptions& options, const std::string& what,
                      const std::vector<double>& moves = {}) {
    std::vector<float> logits;
    Run(options, logits, moves);
    ASSERT_EQ(logits.size(), resident_.size()) << what;
    EXPECT_EQ(std::memcmp(logits.data(), resident_.data(), logits.size() * sizeof(float)), 0)
        << what;
  }

  std::filesystem::path file_;
  std::vector<TokenId> tokens_;
  engine::Landmarks at_;
  std::vector<float> resident_;
};

TEST_P(StreamedBitsTest, UnderEveryLine) {
  for (const double share : {0.0, 0.3, 0.8}) {
    ExpectSameBits(OptionsAt(share), std::to_string(share));
  }
}

TEST_P(StreamedBitsTest, HoweverTheyAreReadAndInShortChunks) {
  for (const char* io : {"threads", "buffered", "threads-buffered"}) {
    engine::EngineOptions options = OptionsAt(0.5);
    options.io = io;
    options.prefill_chunk = 5;
    ExpectSameBits(options, io);
  }
}

// From nothing kept to everything and back.
TEST_P(StreamedBitsTest, WhileTheLineMoves) {
  ExpectSameBits(OptionsAt(0.5), "moved", {0.1, 1.5, 0.0, 0.9});
}

TEST_P(StreamedBitsTest, ALineBelowTheLeastIsRefused) {
  engine::EngineOptions options = Options();
  options.memory = SizeSpec{.bytes = at_.least - 1};
  const auto refused = engine::Engine::Load(options, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("--memory"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Architectures, StreamedBitsTest,
                         testing::Values("llama", "olmoe", "qwen2moe", "qwen3next", "qwen35moe"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace plimsoll::tests
