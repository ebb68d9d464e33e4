#include "tensor/rows16.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "tensor/matrix.h"

namespace plimsoll::tensor {
namespace {

// Every block of every row is where Matrix says, however the bytes arrived.
TEST(Rows16Interleaver, PutsEveryBlockWhereTheLayoutHasIt) {
  for (const DType dtype : {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kMXFP4,
                            DType::kNVFP4, DType::kF16}) {
    for (const uint64_t rows : {1U, 15U, 16U, 17U, 48U, 50U}) {
      for (const uint64_t step : {uint64_t{1}, uint64_t{1000}, uint64_t{1} << 30}) {
        constexpr uint64_t kMatrices = 3;
        const uint64_t k = dtype == DType::kF16 ? 1061 : 512;
        Matrix native = {.dtype = dtype, .k = k, .rows = rows};
        std::vector<std::byte> bytes(native.bytes() * kMatrices);
        uint32_t state = 1;
        for (std::byte& byte : bytes) {
          state = state * 1664525 + 1013904223;
          byte = static_cast<std::byte>(state >> 24);
        }
        std::vector<std::byte> turned = bytes;
        Rows16Interleaver interleaver(dtype, k, rows, turned.data());
        for (uint64_t at = 0; at < bytes.size();) {
          at = std::min<uint64_t>(at + step, bytes.size());
          interleaver.Advance(at);
        }
        native.data = bytes.data();
        Matrix rows16 = native;
        rows16.layout = Layout::kRows16;
        rows16.data = turned.data();
        const MatrixStack natives = {native, kMatrices};
        const MatrixStack stack = {rows16, kMatrices};
        const size_t block_bytes = Traits(dtype).block_bytes;
        for (uint64_t m = 0; m < kMatrices; ++m) {
          for (uint64_t r = 0; r < rows; ++r) {
            for (uint64_t b = 0; b < native.row_bytes() / block_bytes; ++b) {
              std::vector<std::byte> want(block_bytes);
              std::vector<std::byte> got(block_bytes);
              natives[m].CopyBlock(r, b, want.data());
              stack[m].CopyBlock(r, b, got.data());
              ASSERT_EQ(std::memcmp(want.data(), got.data(), block_bytes), 0)
                  << Traits(dtype).name << " " << rows << " rows: block " << b << " of row " << r;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll::tensor
