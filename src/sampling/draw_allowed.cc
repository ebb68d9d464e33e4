#include "sampling/draw_allowed.h"

#include <limits>

namespace plimsoll::sampling {

Result<TokenId> DrawAllowed(Sampler& sampler, const SamplerParams& params, TokenFilter& filter,
                            std::span<const float> raw, std::span<float> logits,
                            std::span<const TokenId> history) {
  const auto draw = [&](uint64_t attempt) {
    return sampler.Sample(params, logits, history, history.size(), attempt);
  };
  TokenId token = draw(0);
  if (filter.Allows(token)) {
    return token;
  }
  const auto mask = filter.Mask();
  if (!mask) {
    return tl::make_unexpected(mask.error());
  }
  for (size_t i = 0; i < logits.size(); ++i) {
    const bool allowed = ((*mask)[i / 64] >> (i % 64) & 1) != 0;
    logits[i] = allowed ? raw[i] : -std::numeric_limits<float>::infinity();
  }
  token = draw(1);
  if (!filter.Allows(token)) {
    return Fail(ErrorKind::kUsage,
                "what may follow at this place of the answer cannot be drawn: every token of it is "
                "forbidden (logit_bias)");
  }
  return token;
}

}  // namespace plimsoll::sampling
