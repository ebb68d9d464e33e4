// Log-probabilities from logits.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace plimsoll::sampling {

// ln sum exp(logits), in double and in ascending order of id: subtract it from a logit to get its
// log-probability. Logits that are NaN or -inf have no share. -inf when no logit has one.
[[nodiscard]] double LogSumExp(std::span<const float> logits);

// The n best (id, log-probability), best first, ties to the lower id. NaN ranks last, as -inf.
[[nodiscard]] std::vector<std::pair<TokenId, double>> TopLogprobs(std::span<const float> logits,
                                                                  size_t n);

}  // namespace plimsoll::sampling
