// The draw of a token that a filter allows.
#pragma once

#include <span>

#include "base/ids.h"
#include "base/result.h"
#include "sampling/sampler.h"
#include "sampling/token_filter.h"

namespace plimsoll::sampling {

// The token that follows `history`. `raw` are the model's logits, without rows that stand for no
// token; `logits` the same, and scratch.
//
// A model that knows what is wanted mostly draws what is allowed, so what it draws is looked at
// first, and the mask is made when that may not stand there. The second draw has chances of its
// own: a token that weighs p of which all that are allowed weigh s is drawn with the probability
// p + (1 - s) p/s = p/s, as if the others had never been there. Of top-k, top-p and min-p the first
// draw knows the whole vocabulary and the second what is allowed, as in llama.cpp.
//
// Errors: of TokenFilter::Mask, and kUsage when logit_bias forbids all that is allowed.
[[nodiscard]] Result<TokenId> DrawAllowed(Sampler& sampler, const SamplerParams& params,
                                          TokenFilter& filter, std::span<const float> raw,
                                          std::span<float> logits,
                                          std::span<const TokenId> history);

}  // namespace plimsoll::sampling
