// What a matrix product with quantized weights is about, and its tokens' packed blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace plimsoll::kernels {
namespace {

// What a product of one call is about, with the group of tokens in hand.
struct Product {
  const Activations* x;
  float* y;  // of row row_begin
  size_t y_stride;
  std::byte* workspace;
};

// Packed blocks of kTokens tokens from token_begin; the last one stands in for those past the end.
template <class ActivationBlock, size_t kTokens>
void FindTokens(const Activations& x, size_t token_begin, const ActivationBlock* (&rows)[kTokens]) {
  for (size_t t = 0; t < kTokens; ++t) {
    const size_t token = token_begin + t < x.n_rows ? token_begin + t : x.n_rows - 1;
    const size_t row = x.row_idx == nullptr ? token : x.row_idx[token];
    rows[t] = reinterpret_cast<const ActivationBlock*>(x.data + row * x.row_stride);
  }
}

// Moves to block b of each token.
template <class ActivationBlock, size_t kTokens>
[[gnu::always_inline]] inline void AtBlock(const ActivationBlock* const (&rows)[kTokens],
                                           uint64_t b, const ActivationBlock* (&blocks)[kTokens]) {
#pragma GCC unroll 8
  for (size_t t = 0; t < kTokens; ++t) {
    blocks[t] = rows[t] + b;
  }
}

}  // namespace
}  // namespace plimsoll::kernels
