// Fits the weights of the forecast policy to recorded routing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "memory/policy/forecast.h"
#include "memory/replay/reference_stream.h"

namespace plimsoll::tune_policy {

inline constexpr size_t kNInputs = memory::policy::kNReuseFeatures + 1;  // the first is the bias

// Moments of a trace: what was known of a page, and whether it was used within the horizon.
struct Samples {
  std::vector<std::array<float, kNInputs>> inputs;
  std::vector<uint8_t> used;
};

// One in `stride` pages (that were used before) at each visit of decoding and each end of a prompt.
[[nodiscard]] Samples Collect(const memory::replay::ReferenceStream& stream, uint32_t horizon,
                              uint32_t stride);

// Logistic regression by Newton's method; each trace weighs the same. Inputs with a bit in
// `without` get no weight.
[[nodiscard]] memory::policy::ForecastWeights Fit(const std::vector<const Samples*>& traces,
                                                  uint32_t without);

}  // namespace plimsoll::tune_policy
