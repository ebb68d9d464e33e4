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
  const uint64_t group_rows = RowsPerGroup(dtype);
  const uint64_t group = r / group_rows * group_rows;
  const uint64_t n = std::min(rows - group, group_rows);
  const std::byte* rows16 = data + group * row_bytes();
  if (traits.block_elements == 1) {
    const uint64_t unit = b / kFloatUnitElements * kFloatUnitElements;
    const uint64_t length = std::min(k - unit, kFloatUnitElements);
    std::memcpy(out, rows16 + (unit * n + (r - group) * length + b - unit) * traits.block_bytes,
                traits.block_bytes);
    return;
  }
  const std::byte* blocks = rows16 + b * n * traits.block_bytes;
  for (const UnitSpan& span : UnitSpansOf(dtype)) {
    for (uint64_t i = 0; i < span.bytes; i += span.unit) {
      std::memcpy(out + span.offset + i, blocks + i * n + (r - group) * span.unit, span.unit);
    }
    blocks += span.bytes * n;
  }
}

}  // namespace plimsoll::tensor
