// All parts of a packed file in one row, by number: record after record, gate, up and down in each.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/packed/layout.h"

namespace plimsoll::formats::packed {

struct PartPlace {
  uint32_t layer = 0;
  uint32_t expert = 0;
  uint32_t projection = 0;
  uint64_t offset = 0;  // of the packed file
  const Part* part = nullptr;
};

// In the order of their offsets; `layout` outlives them.
[[nodiscard]] inline std::vector<PartPlace> ListParts(const FileLayout& layout) {
  std::vector<PartPlace> parts;
  parts.reserve(size_t{layout.n_records} * kNProjections);
  for (uint32_t l = 0; l < layout.layers.size(); ++l) {
    const Layer& layer = layout.layers[l];
    for (uint32_t e = 0; e < layer.n_experts; ++e) {
      for (uint32_t p = 0; p < kNProjections; ++p) {
        const Part& part = layer.parts[p];
        parts.push_back({l, e, p, layer.RecordOffset(e) + part.offset, &part});
      }
    }
  }
  return parts;
}

}  // namespace plimsoll::formats::packed
