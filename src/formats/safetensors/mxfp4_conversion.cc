#include "formats/safetensors/mxfp4_conversion.h"

#include <algorithm>
#include <cstring>

namespace plimsoll::formats::safetensors {
namespace {

constexpr uint64_t kHalf = 16;               // bytes of a block's values, and half as many values
constexpr uint64_t kBlockBytes = kHalf + 1;  // with the scale

unsigned ValueOf(const std::byte* block, uint64_t i) {
  const auto pair = std::to_integer<unsigned>(block[i / 2]);
  return i % 2 == 0 ? pair & 15U : pair >> 4;
}

}  // namespace

Result<> Mxfp4Conversion::ReadRow(const Catalogue& catalogue, uint64_t row,
                                  std::vector<std::byte>& out) const {
  const uint64_t n_blocks = scales_.tensor.dims[2];
  const uint64_t of_expert = row % view_.n_rows;
  const uint64_t stored = row / view_.n_rows * scales_.tensor.dims[1] +
                          (view_.rows.empty() ? of_expert : view_.rows[of_expert]);
  std::vector<std::byte> scales(n_blocks);
  std::vector<std::byte> blocks(n_blocks * kHalf);
  const auto read = [&](const StoredTensor& tensor, std::span<std::byte> bytes) {
    return catalogue.files[tensor.file_idx]->ReadAt(tensor.tensor.offset + stored * bytes.size(),
                                                    bytes);
  };
  if (auto done = read(scales_, scales); !done) {
    return done;
  }
  if (auto done = read(blocks_, blocks); !done) {
    return done;
  }
  out.resize(n_blocks * kBlockBytes);
  for (uint64_t b = 0; b < n_blocks; ++b) {
    std::byte* const to = out.data() + b * kBlockBytes;
    const std::byte* const from = blocks.data() + b * kHalf;
    to[0] = scales[b];
    for (uint64_t i = 0; i < kHalf; ++i) {
      to[1 + i] = static_cast<std::byte>(ValueOf(from, i) | ValueOf(from, i + kHalf) << 4);
    }
  }
  return {};
}

Result<> Mxfp4Conversion::Read(const Catalogue& catalogue, uint64_t offset,
                               std::span<std::byte> out) const {
  const uint64_t row_bytes = scales_.tensor.dims[2] * kBlockBytes;
  std::vector<std::byte> row;
  while (!out.empty()) {
    if (auto read = ReadRow(catalogue, offset / row_bytes, row); !read) {
      return read;
    }
    const uint64_t begin = offset % row_bytes;
    const uint64_t n = std::min<uint64_t>(row_bytes - begin, out.size());
    std::memcpy(out.data(), row.data() + begin, n);
    out = out.subspan(n);
    offset += n;
  }
  return {};
}

}  // namespace plimsoll::formats::safetensors
