// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace plimsoll::sampling {

// Names, meaning and order of application as in llama.cpp: bias and penalties, then top-k, top-p,
// min-p, temperature.
struct SamplerParams {
  float temperature = 0.8F;  // 0: greedy
  int32_t top_k = 40;        // 0 or less: all
  float top_p = 0.95F;       // 1: all
  float min_p = 0.05F;       // 0: all
  float repeat_penalty = 1.0F;
  int32_t repeat_last_n = 64;  // 0: no penalties; -1: the whole context
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::vector<std::pair<TokenId, float>> logit_bias;  // -inf forbids
  uint64_t seed = 0;

  // kUsage naming the first value out of range.
  [[nodiscard]] Result<> Validate() const;
};

// Draws tokens. The draw depends on the seed, the position, the logits and the history alone, and
// has the same bits on every CPU: sums are double, in one order, with our own exp (base/math.h).
// Keeps nothing between two draws but room for candidates, so that one serves any number of
// sequences. Allocates nothing after construction. For one thread at a time.
class Sampler {
 public:
  explicit Sampler(size_t vocab_size);

  // `params` are valid (Validate). `logits` is scratch: it is changed. `history` is the sequence so
  // far, prompt included; `position` is that of the token to be drawn. NaN counts as forbidden,
  // equal logits rank by the lower id, and when every token is forbidden the answer is token 0.
  // `attempt`: of several draws at one position each has chances of its own.
  [[nodiscard]] TokenId Sample(const SamplerParams& params, std::span<float> logits,
                               std::span<const TokenId> history, uint64_t position,
                               uint64_t attempt = 0);

 private:
  struct Candidate {
    TokenId token;
    float logit;
  };
  static bool Better(const Candidate& a, const Candidate& b);

  void ApplyBias(std::span<float> logits) const;
  void ApplyPenalties(std::span<float> logits, std::span<const TokenId> history);
  void Collect(std::span<const float> logits);
  void KeepTopP();
  void KeepMinP();
  [[nodiscard]] TokenId Draw(double uniform);

  [[nodiscard]] double Weight(const Candidate& candidate, double temperature) const;
  [[nodiscard]] double TotalWeight(double temperature) const;
  // The smallest n for which the n best candidates weigh `target` together.
  [[nodiscard]] size_t CountToReach(double target, double temperature);
  void SortFirst(size_t n);

  const SamplerParams* params_ = nullptr;  // during a draw
  std::vector<Candidate> candidates_;      // capacity: the vocabulary
  size_t n_sorted_ = 0;                    // the first candidates that are in order, best first
  double max_logit_ = 0;
  std::vector<uint32_t> counts_;  // per token, all 0 between calls
};

}  // namespace plimsoll::sampling
