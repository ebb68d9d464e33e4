#include "kernels/peak_loops.h"

#include <cstring>

#include "kernels/ref/ref.h"

namespace plimsoll::kernels::ref {
namespace {

constexpr size_t kChains = 8;

uint64_t Read(const std::byte* data, size_t bytes) {
  uint64_t sums[kChains] = {};
  for (size_t i = 0; i < bytes; i += sizeof sums) {
    uint64_t words[kChains];
    std::memcpy(words, data + i, sizeof words);
    for (size_t chain = 0; chain < kChains; ++chain) {
      sums[chain] += words[chain];
    }
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) {
    sum += part;
  }
  return sum;
}

uint64_t Int8Dots(size_t n) {
  int32_t acc[kChains] = {};
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 8
    for (int32_t& sum : acc) {
      int32_t a = 1;
      __asm__ volatile("" : "+r"(a));  // or the compiler folds the product
      sum += a * a;
      __asm__ volatile("" : "+r"(sum));
    }
  }
  return uint64_t{kChains} * n;
}

uint64_t Fmas(size_t n) {
  float acc[kChains] = {};
  for (size_t i = 0; i < n; ++i) {
#pragma GCC unroll 8
    for (float& sum : acc) {
      sum = sum * 0.5F + 0.5F;
      __asm__ volatile("" : "+x"(sum));
    }
  }
  return uint64_t{kChains} * n;
}

}  // namespace

constexpr PeakLoops kPeakLoops = {.read = Read, .int8_dots = Int8Dots, .fmas = Fmas};

}  // namespace plimsoll::kernels::ref
