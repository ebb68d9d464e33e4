// The loops over a codebook's entries in which quantizing spends its time: what makes the entries'
// sums, and what finds the best of them. Each set has those of its own instructions; all give the
// same bits.
//
// What an entry takes off the squared error at a scale is a line: an intercept less the scale times
// a slope, which are sums over the entry's digits. Arrays over entries have n elements, a multiple
// of 64, and are aligned to 32 bytes.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"

namespace plimsoll::kernels {

// Sums over an entry's digits g, from the first to the last, each product and each sum rounded.
struct EntrySums {
  float* products = nullptr;  // of factor times g
  float* squares = nullptr;   // of weight times g g
  float* weights = nullptr;   // of weight times g; null: these are not wanted
};

struct CodebookSearch {
  // Of a codebook of n entries of `width` digits; digits[i * n + e] is the i-th of entry e.
  void (*sum)(const float* digits, size_t width, size_t n, const float* factors,
              const float* weights, const EntrySums& out);
  // out[i] is the largest intercepts[e] - scales[i] * slopes[e] of all entries, each product and
  // each difference rounded.
  void (*highest)(const float* intercepts, const float* slopes, size_t n, const float* scales,
                  size_t n_scales, float* out);
  // The first of the entries whose line at the scale, times a factor that is not negative and
  // rounded, is the highest of all. First is the least e % 64, and of these the least e.
  size_t (*best_entry)(const float* intercepts, const float* slopes, size_t n, float scale,
                       float factor);
};

[[nodiscard]] const CodebookSearch& CodebookSearchOf(const KernelSet& set);

}  // namespace plimsoll::kernels
