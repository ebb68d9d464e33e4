// How well a model predicts texts, and how far its expectations are from those of a first run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/engine.h"

namespace plimsoll::eval {

struct TextFigures {
  uint64_t n_tokens = 0;  // that were predicted
  double nll = 0;         // mean negative log-likelihood of a token, in nats
  // Mean Kullback-Leibler divergence from the first run's expectation of a token to this one's, in
  // nats; 0 of the first run itself.
  double kl = 0;

  [[nodiscard]] double perplexity() const;
};

// Texts that every run reads. Of each the second half is predicted, or the end of it: the first
// run's expectations take at most kKeptBytes.
class TextComparison {
 public:
  static constexpr uint64_t kKeptBytes = uint64_t{16} << 20U;

  // Texts of fewer than four tokens are left out.
  TextComparison(std::vector<std::vector<TokenId>> texts, uint32_t vocab_size);

  // Reads the texts, each into an empty session. The first call is the first run.
  [[nodiscard]] Result<TextFigures> Run(engine::Session& session);

 private:
  class Sums;
  [[nodiscard]] Result<> RunText(engine::Session& session, std::span<const TokenId> text,
                                 Sums& sums);

  std::vector<std::vector<TokenId>> texts_;
  uint32_t vocab_size_;
  uint64_t n_scored_max_;        // of one text
  std::vector<float> expected_;  // log-probabilities, one row a token; empty before the first run
};

}  // namespace plimsoll::eval
