// From logits to a token.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace plimsoll::sampling {

// Names, meaning and order of application as in llama.cpp: penalties and bias, then top-k, top-p,
// min-p, temperature.
struct SamplerParams {
  float temperature = 0.8F;  // 0: greedy
  int32_t top_k = 40;        // 0: all
  float top_p = 0.95F;       // 1: all
  float min_p = 0.05F;       // 0: all
  float repeat_penalty = 1.0F;
  int32_t repeat_last_n = 64;  // -1: the whole context
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  std::vector<std::pair<TokenId, float>> logit_bias;  // -inf forbids
  uint64_t seed = 0;

  // kUsage naming the first value out of range.
  [[nodiscard]] Result<> Validate() const;
};

// Draws tokens. The draw depends on the seed, the position and the logits alone.
class Sampler {
 public:
  Sampler(SamplerParams params, size_t vocab_size);

  // `logits` is scratch: it is changed. `history` is the sequence so far, prompt included;
  // `position` is that of the token to be drawn.
  [[nodiscard]] TokenId Sample(std::span<float> logits, std::span<const TokenId> history,
                               uint64_t position);

 private:
  struct Candidate {
    TokenId token;
    float logit;
  };

  void ApplyPenalties(std::span<float> logits, std::span<const TokenId> history);

  SamplerParams params_;
  std::vector<Candidate> candidates_;  // capacity: the vocabulary
  std::vector<uint32_t> counts_;       // per token, all 0 between calls
};

}  // namespace plimsoll::sampling
