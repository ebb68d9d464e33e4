#include "tensor/matrix.h"

#include <algorithm>
#include <cstring>

#include "tensor/rows16.h"

namespace plimsoll::tensor {

void Matrix::CopyBlock(uint64_t r, uint64_t b, std::byte* out) const {
  const DTypeTraits& traits = Traits(dtype);
  if (layout == Layout::kNative) {
    std::memcpy(out, data + r * row_bytes() + b * traits.block_bytes, traits.block_bytes);
    return;
  }
  const uint64_t group = r / kRowsPerGroup * kRowsPerGroup;
  const uint64_t n = std::min(rows - group, kRowsPerGroup);
  const std::byte* blocks = data + group * row_bytes() + b * n * traits.block_bytes;
  for (const UnitSpan& span : UnitSpansOf(dtype)) {
    for (uint64_t i = 0; i < span.bytes; i += span.unit) {
      std::memcpy(out + span.offset + i, blocks + i * n + (r - group) * span.unit, span.unit);
    }
    blocks += span.bytes * n;
  }
}

}  // namespace plimsoll::tensor
