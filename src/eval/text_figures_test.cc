#include "eval/text_figures.h"

#include <cmath>

#include <gtest/gtest.h>

namespace plimsoll::eval {
namespace {

// Expects token 0 with the share that it is told, and the other token of its two with the rest.
class CoinSession final : public engine::Session {
 public:
  explicit CoinSession(double share) {
    logits_ = {static_cast<float>(std::log(share)), static_cast<float>(std::log(1 - share))};
  }
  [[nodiscard]] std::span<const TokenId> tokens() const override { return tokens_; }
  [[nodiscard]] uint32_t n_ctx() const override { return 1024; }
  void Truncate(uint32_t n) override { tokens_.resize(std::min<size_t>(n, tokens_.size())); }
  [[nodiscard]] Result<> Append(std::span<const TokenId> tokens,
                                const LogitsFn& on_logits) override {
    for (uint32_t i = 0; i < tokens.size(); ++i) {
      tokens_.push_back(tokens[i]);
      if (on_logits) {
        on_logits(i, logits_);
        ++n_scored;
      }
    }
    return {};
  }
  [[nodiscard]] Result<std::span<const float>> AppendForLogits(
      std::span<const TokenId> /*tokens*/) override {
    return logits_;
  }
  using Session::Generate;
  [[nodiscard]] Result<engine::GenerateStats> Generate(std::span<const TokenId> /*prompt*/,
                                                       const engine::GenerateOptions& /*options*/,
                                                       const TextFn& /*on_text*/,
                                                       sampling::TokenFilter* /*filter*/) override {
    return engine::GenerateStats{};
  }

  uint32_t n_scored = 0;

 private:
  std::vector<TokenId> tokens_;
  std::vector<float> logits_;
};

TEST(TextComparison, PredictsTheSecondHalf) {
  TextComparison texts({{1, 1, 1, 0, 0, 1}, {1, 0}}, 2);  // the second is too short
  CoinSession session(0.5);
  const auto figures = texts.Run(session);
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->n_tokens, 3U);
  EXPECT_EQ(session.n_scored, 3U);
  EXPECT_NEAR(figures->perplexity(), 2, 1e-6);
  EXPECT_EQ(figures->kl, 0);
}

TEST(TextComparison, WeighsWhatTheTextSays) {
  TextComparison texts({{1, 1, 0, 0, 0, 1}}, 2);
  CoinSession session(0.75);
  const auto figures = texts.Run(session);
  ASSERT_TRUE(figures);
  EXPECT_NEAR(figures->nll, -(2 * std::log(0.75) + std::log(0.25)) / 3, 1e-6);
}

TEST(TextComparison, MeasuresDivergenceFromTheFirstRun) {
  TextComparison texts({{0, 0, 0, 0, 0, 0, 0, 0}}, 2);
  CoinSession first(0.75);
  CoinSession other(0.5);
  ASSERT_TRUE(texts.Run(first));
  const auto same = texts.Run(first);
  ASSERT_TRUE(same);
  EXPECT_EQ(same->kl, 0);
  const auto different = texts.Run(other);
  ASSERT_TRUE(different);
  EXPECT_NEAR(different->kl, 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-6);
}

TEST(TextComparison, BoundsWhatItKeeps) {
  const uint32_t vocab_size = 1U << 20U;  // of which four rows can be kept
  std::vector<TokenId> text(64, 0);
  TextComparison texts({text, text}, vocab_size);
  CoinSession session(0.5);
  const auto figures = texts.Run(session);
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->n_tokens, 4U);
}

}  // namespace
}  // namespace plimsoll::eval
