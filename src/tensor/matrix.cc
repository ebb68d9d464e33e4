#include "tensor/matrix.h"

#include <algorithm>
#include <cstring>

#include "tensor/rows16.h"

namespace plimsoll::tensor {
namespace {

// Where element i of row r of a group of n rows of floats is, in elements.
uint64_t FloatPlace(uint64_t k, uint64_t n, uint64_t r, uint64_t i) {
  const uint64_t panel = i / kFloatPanel * kFloatPanel;
  const uint64_t length = std::min(k - panel, kFloatPanel);
  const uint64_t half = r / kFloatHalf * kFloatHalf;
  const uint64_t half_rows = std::min(n - half, kFloatHalf);
  const uint64_t unit = i / kFloatUnit * kFloatUnit;
  const uint64_t unit_length = std::min(k - unit, kFloatUnit);
  return panel * n + half * length + (unit - panel) * half_rows + (r - half) * unit_length +
         (i - unit);
}

}  // namespace

void Matrix::CopyBlock(uint64_t r, uint64_t b, std::byte* out) const {
  const DTypeTraits& traits = Traits(dtype);
  if (layout == Layout::kNative) {
    std::memcpy(out, data + r * row_bytes() + b * traits.block_bytes, traits.block_bytes);
    return;
  }
  const uint64_t group = r / kRowsPerGroup * kRowsPerGroup;
  const uint64_t n = std::min(rows - group, kRowsPerGroup);
  const std::byte* rows16 = data + group * row_bytes();
  if (traits.block_elements == 1) {
    std::memcpy(out, rows16 + FloatPlace(k, n, r - group, b) * traits.block_bytes,
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
