#include "engine/order/expert_rates.h"

#include <algorithm>

namespace plimsoll::engine::order {

void ExpertRates::Use(uint32_t layer, std::span<const uint32_t> experts) {
  constexpr auto kEnough = static_cast<uint8_t>(1 / kShareOfOneToken);
  n_tokens_[layer] = static_cast<uint8_t>(std::min<uint32_t>(n_tokens_[layer] + 1U, kEnough));
  const float share = 1.0F / static_cast<float>(n_tokens_[layer]);
  const auto rates = std::span(rates_).subspan(layout_.begin(layer), layout_.n_pages(layer));
  for (float& rate : rates) {
    rate *= 1 - share;
  }
  for (const uint32_t expert : experts) {
    rates[expert] += share;
  }
}

}  // namespace plimsoll::engine::order
