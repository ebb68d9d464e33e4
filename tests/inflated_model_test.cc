// An inflated model says what the small model says: greedily the same text, and nearly the same
// probabilities at every token of it.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/chat.h"
#include "engine/engine.h"
#include "formats/catalogue.h"
#include "tools/inflate/inflate.h"

namespace plimsoll::tests {
namespace {

using inflate::Dimensions;
using tensor::DType;

const std::filesystem::path kSmallModel =
    std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models" / "plimsoll-lab-q8_0.gguf";

// In the first ones every word is settled; in the stories many are a close choice.
constexpr size_t kSettledPrompts = 4;
const std::vector<std::string> kPrompts = {
    "What is the capital of France?",          "What is the capital of Iceland?",
    "Which country has the capital Madrid?",   "Hello, my name is Jonas.",
    "Tell me a story about a fox called Ada.", "Write a short story about Ada the goose.",
};

// With its files, so that it can be taken along by value and closed before the next one is loaded.
class LoadedEngine {
 public:
  explicit LoadedEngine(const std::filesystem::path& file) {
    engine::EngineOptions options;
    options.model = file;
    options.n_ctx = 256;
    options.n_threads = 2;
    auto loaded = engine::Engine::Load(options, [](const engine::LoadProgress&) {});
    EXPECT_TRUE(loaded) << loaded.error().message;
    engine_ = *std::move(loaded);
  }

  std::vector<TokenId> PromptTokens(const std::string& prompt) {
    const engine::ChatMessage message = {"user", prompt};
    const auto rendered =
        engine::RenderChat(*engine_->chat_template(), engine_->tokenizer(), {&message, 1});
    EXPECT_TRUE(rendered) << rendered.error().message;
    return engine_->tokenizer().Encode(*rendered, {.parse_special = true});
  }

  // The prompt and what the model says to it.
  std::vector<TokenId> Greedy(std::span<const TokenId> prompt) {
    auto session = engine_->NewSession();
    EXPECT_TRUE(session) << session.error().message;
    engine::GenerateOptions options;
    options.sampling.temperature = 0;
    options.n_predict = 32;
    const auto done = (*session)->Generate(prompt, options, [](std::string_view) { return true; });
    EXPECT_TRUE(done) << done.error().message;
    const auto tokens = (*session)->tokens();
    return {tokens.begin(), tokens.end()};
  }

  // Of the token behind each of these: [tokens][vocabulary].
  std::vector<std::vector<double>> LogProbabilities(std::span<const TokenId> tokens) {
    auto session = engine_->NewSession();
    EXPECT_TRUE(session) << session.error().message;
    std::vector<std::vector<double>> all;
    const auto take = [&](uint32_t /*index*/, std::span<const float> logits) {
      const double largest = *std::ranges::max_element(logits);
      double sum = 0;
      for (const float logit : logits) {
        sum += std::exp(logit - largest);
      }
      auto& row = all.emplace_back();
      for (const float logit : logits) {
        row.push_back(logit - largest - std::log(sum));
      }
    };
    EXPECT_TRUE((*session)->Append(tokens, take));
    return all;
  }

  std::string Text(std::span<const TokenId> tokens) {
    return engine_->tokenizer().Decode(tokens, true);
  }

 private:
  std::unique_ptr<engine::Engine> engine_;
};

using Distribution = std::vector<double>;  // log-probabilities

// What is lost by taking `q` for `p`, in nats (Kullback and Leibler).
double Divergence(const Distribution& p, const Distribution& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += std::exp(p[i]) * (p[i] - q[i]);
  }
  return sum;
}

size_t Best(const Distribution& p) {
  return static_cast<size_t>(std::ranges::max_element(p) - p.begin());
}

// By how many nats the best token is ahead of the next.
double Lead(Distribution p) {
  std::ranges::nth_element(p, p.begin() + 1, std::greater());
  return p[0] - p[1];
}

// Nine of ten values are at most this.
double NinthDecile(std::vector<double> values) {
  const auto at = values.begin() + static_cast<ptrdiff_t>(values.size() * 9 / 10);
  std::ranges::nth_element(values, at);
  return *at;
}

struct Case {
  std::string name;
  DType dtype;
  Dimensions dimensions;
  double divergence_max;  // nats, of nine tokens of ten
  double lead_max;        // nats; beyond it the same token must be the best
  size_t n_equal_texts;   // of the first prompts, generated greedily
};

void PrintTo(const Case& tested, std::ostream* out) { *out << tested.name; }

// Every axis grows, the experts by a number that is no power of two; two layers are added.
constexpr Dimensions kTiny = {.n_layers = 10,
                              .hidden_dim = 256,
                              .n_heads = 4,
                              .n_kv_heads = 2,
                              .head_dim = 128,
                              .expert_ff_dim = 96};
// Four copies of the stream, so that some of the rounding to four bits cancels.
constexpr Dimensions kTinyForFourBits = {.n_layers = 8,
                                         .hidden_dim = 512,
                                         .n_heads = 4,
                                         .n_kv_heads = 2,
                                         .head_dim = 64,
                                         .expert_ff_dim = 256};

std::vector<Case> Cases() {
  std::vector<Case> cases = {
      {"tiny_q8_0", DType::kQ8_0, kTiny, 1e-6, 0.01, kPrompts.size()},
      {"tiny_q4_0", DType::kQ4_0, kTinyForFourBits, 2e-3, 0.5, kSettledPrompts},
      {"tiny_q4_k", DType::kQ4_K, kTinyForFourBits, 5e-3, 0.5, kSettledPrompts}};
  if (std::getenv("PLIMSOLL_NIGHT") != nullptr) {
    for (const inflate::Shape& shape : inflate::Shapes()) {
      for (const auto& [name, dtype, divergence] : {std::tuple("q4_0", DType::kQ4_0, 1e-4),
                                                    {"q4_k", DType::kQ4_K, 1e-3},
                                                    {"q8_0", DType::kQ8_0, 1e-6}}) {
        cases.push_back({fmt::format("{}_{}", shape.name, name), dtype, shape.dimensions,
                         divergence, 0.1, kSettledPrompts});
        std::ranges::replace(cases.back().name, '-', '_');
      }
    }
  }
  return cases;
}

class InflatedModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    file_ = std::filesystem::path(testing::TempDir()) /
            fmt::format("plimsoll_{}_{}.gguf", GetParam().name, ::getpid());
  }
  void TearDown() override { std::filesystem::remove(file_); }

  [[nodiscard]] Result<> WriteWide() const {
    auto small = formats::OpenModel(kSmallModel);
    return small ? inflate::WriteInflated(*small, {GetParam().dimensions, GetParam().dtype}, file_,
                                          [](const inflate::Progress&) {})
                 : Result<>(Forward(small));
  }

  std::filesystem::path file_;
};

TEST_P(InflatedModel, SaysWhatTheSmallModelSays) {
  LoadedEngine small(kSmallModel);
  const auto written = WriteWide();
  if (!written && written.error().kind == ErrorKind::kIo) {
    GTEST_SKIP() << written.error().message;
  }
  ASSERT_TRUE(written) << written.error().message;
  LoadedEngine wide(file_);
  std::vector<double> divergences;
  double closest = 0;
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    const auto prompt = small.PromptTokens(kPrompts[i]);
    const auto said = small.Greedy(prompt);
    ASSERT_GT(said.size(), prompt.size() + 4);
    if (i < GetParam().n_equal_texts) {
      EXPECT_EQ(wide.Text(wide.Greedy(prompt)), small.Text(said));
    }
    const auto p = small.LogProbabilities(said);
    const auto q = wide.LogProbabilities(said);
    for (size_t t = 0; t < p.size(); ++t) {
      divergences.push_back(Divergence(p[t], q[t]));
      closest = Best(p[t]) == Best(q[t]) ? closest : std::max(closest, Lead(p[t]));
    }
  }
  std::printf(
      "divergence of nine tokens of ten at most %.1e nats, of the worst %.1e; largest lead lost "
      "%.3f\n",
      NinthDecile(divergences), *std::ranges::max_element(divergences), closest);
  EXPECT_LE(NinthDecile(divergences), GetParam().divergence_max);
  EXPECT_LE(closest, GetParam().lead_max);
}

INSTANTIATE_TEST_SUITE_P(, InflatedModel, testing::ValuesIn(Cases()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace plimsoll::tests
