// How a model routes: what caching its experts can hope for.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/replay/reference_stream.h"

namespace plimsoll::memory::replay {

struct LayerLocality {
  uint32_t layer = 0;
  uint32_t n_experts = 0;
  uint32_t n_used = 0;          // distinct
  uint64_t n_references = 0;    // of decoding
  double shared_with_last = 0;  // of a token's experts, those that the token before used
  double busiest_quarter = 0;   // of the references, those to the most used quarter of experts
};

// Of the passes of decoding; layers without experts are left out.
[[nodiscard]] std::vector<LayerLocality> MeasureLocality(const ReferenceStream& stream);
// The same over all layers; `layer` is unused.
[[nodiscard]] LayerLocality Total(const std::vector<LayerLocality>& layers);

}  // namespace plimsoll::memory::replay
