// Random weights and activations for the tests and benchmarks of kernels. Deterministic: the same
// seed gives the same data everywhere.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "kernels/half.h"
#include "kernels/kernels.h"
#include "tensor/blocks.h"
#include "tensor/matrix.h"
#include "tensor/rows16.h"

namespace plimsoll::kernels::testing {

// A stream of random numbers.
class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}

  uint32_t Bits() {
    if (next_ % 4 == 0) {
      block_ = Philox(seed_, next_ / 4, 0);
    }
    return block_[next_++ % 4];
  }
  // In [0, n).
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(uint64_t{Bits()} * n >> 32); }
  // In [low, high].
  uint32_t Between(uint32_t low, uint32_t high) { return low + Below(high - low + 1); }
  // In [-1, 1).
  float Symmetric() { return static_cast<float>(static_cast<int32_t>(Bits())) * 0x1p-31F; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }

 private:
  uint64_t seed_;
  uint64_t next_ = 0;
  std::array<uint32_t, 4> block_ = {};
};

// 64-byte aligned, filled with a pattern that no kernel may depend on, with readable bytes behind.
class Buffer {
 public:
  explicit Buffer(size_t bytes)
      : bytes_(bytes),
        data_(static_cast<std::byte*>(::operator new(bytes + tensor::kReadablePadding, kAlign))) {
    std::memset(data_.get(), 0xA5, bytes + tensor::kReadablePadding);
  }
  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return bytes_; }
  template <class T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }

 private:
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlign); }
  };
  size_t bytes_;
  std::unique_ptr<std::byte, Free> data_;
};

// Values of ordinary size, now and then zero, negative zero, tiny or large.
inline float AnyFloat(Random& random) {
  switch (random.Below(64)) {
    case 0:
      return 0.0F;
    case 1:
      return -0.0F;
    case 2:
      return random.Symmetric() * 0x1p-130F;  // subnormal, products underflow
    case 3:
      return random.Symmetric() * 1e4F;
    default:
      return random.Symmetric() * 4;
  }
}

inline std::vector<float> RandomFloats(Random& random, size_t n) {
  std::vector<float> x(n);
  for (float& v : x) {
    v = AnyFloat(random);
  }
  return x;
}

// For benchmarks: processors of Intel take some fifty nanoseconds for a multiply-add of subnormals,
// which a model's activations hardly have.
inline std::vector<float> OrdinaryFloats(Random& random, size_t n) {
  std::vector<float> x(n);
  for (float& v : x) {
    v = random.Symmetric() * 4;
  }
  return x;
}

// A finite F16 of magnitude up to about 2 with all the small ones.
inline uint16_t AnyF16(Random& random) {
  return static_cast<uint16_t>((random.Bits() & 0x8000U) | random.Below(0x4000));
}

// A scale field of a block: mostly ordinary, sometimes zero, subnormal or negative.
inline uint16_t AnyScale(Random& random) {
  return random.OneIn(16) ? AnyF16(random) : FloatToF16(random.Symmetric() * 0.05F);
}

namespace internal {

// Byte offsets of the F16 fields of a block of each type; everything else may be any bits.
inline std::vector<size_t> F16Fields(tensor::DType dtype) {
  using tensor::DType;
  switch (dtype) {
    case DType::kF16:
    case DType::kQ8_0:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
    case DType::kIQ2_XXS:
    case DType::kIQ2_XS:
    case DType::kIQ2_S:
    case DType::kIQ3_XXS:
    case DType::kIQ3_S:
    case DType::kIQ1_S:
      return {0};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108};
    case DType::kQ6_K:
      return {208};
    case DType::kTQ1_0:
      return {52};
    case DType::kTQ2_0:
      return {64};
    case DType::kF32:
    case DType::kBF16:
    case DType::kMXFP4:
    case DType::kNVFP4:
    case DType::kIQ1_M:
      return {};
  }
  return {};
}

// IQ1_M has its F16 in four nibbles, the top ones of the last four words.
inline void PutScaleOfIQ1M(uint16_t scale, std::byte* block) {
  for (size_t i = 0; i < 4; ++i) {
    std::byte& top = block[offsetof(tensor::BlockIQ1_M, scales) + 2 * i + 1];
    top = (top & std::byte{0x0f}) | static_cast<std::byte>((scale >> (4 * i) & 15) << 4);
  }
}

inline void FillBlock(Random& random, tensor::DType dtype, std::byte* block) {
  using tensor::DType;
  const auto put = [&](size_t offset, auto value) {
    std::memcpy(block + offset, &value, sizeof(value));
  };
  if (dtype == DType::kF32) {
    return put(0, AnyFloat(random));
  }
  if (dtype == DType::kF16) {
    return put(0, AnyF16(random));
  }
  if (dtype == DType::kBF16) {
    return put(0, static_cast<uint16_t>(std::bit_cast<uint32_t>(AnyFloat(random)) >> 16));
  }
  for (size_t i = 0; i < tensor::Traits(dtype).block_bytes; ++i) {
    block[i] = static_cast<std::byte>(random.Bits());
  }
  if (dtype == DType::kMXFP4) {
    // Exponents around 2^-6, sometimes the lowest ones, whose scales are subnormal.
    block[0] = static_cast<std::byte>(random.OneIn(16) ? random.Below(4) : 116 + random.Below(10));
  }
  if (dtype == DType::kNVFP4) {
    // Scales up to 2^-3, many of them subnormal; sometimes any byte, also those that are no scale.
    for (size_t j = 0; j < 4; ++j) {
      block[j] = static_cast<std::byte>(random.OneIn(16) ? random.Below(256) : random.Below(0x28));
    }
  }
  if (dtype == DType::kIQ1_M) {
    PutScaleOfIQ1M(AnyScale(random), block);
  }
  for (const size_t offset : F16Fields(dtype)) {
    put(offset, AnyScale(random));
  }
}

}  // namespace internal

// A weight matrix that owns its bytes.
struct OwnedMatrix {
  Buffer bytes;
  tensor::Matrix matrix;
};

// Makes every byte of a native matrix the same but those of its F16 scales, which become 1.
inline void FillBlocks(const OwnedMatrix& matrix, std::byte byte) {
  const size_t block_bytes = tensor::Traits(matrix.matrix.dtype).block_bytes;
  constexpr uint16_t kOne = 0x3c00;
  for (size_t at = 0; at < matrix.matrix.bytes(); at += block_bytes) {
    std::byte* const block = matrix.bytes.data() + at;
    std::fill_n(block, block_bytes, byte);
    for (const size_t offset : internal::F16Fields(matrix.matrix.dtype)) {
      std::memcpy(block + offset, &kOne, sizeof kOne);
    }
  }
}

// The same matrix, which is native, as rows16.
inline OwnedMatrix AsRows16(const tensor::Matrix& native) {
  Buffer bytes(native.bytes());
  std::memcpy(bytes.data(), native.data, native.bytes());
  tensor::Rows16Interleaver(native.dtype, native.k, native.rows, bytes.data())
      .Advance(native.bytes());
  tensor::Matrix m = native;
  m.layout = tensor::Layout::kRows16;
  m.data = bytes.data();
  return {std::move(bytes), m};
}

// Every code of every field occurs; scales are small so that sums stay finite.
inline OwnedMatrix RandomMatrix(Random& random, tensor::DType dtype, tensor::Layout layout,
                                uint64_t k, uint64_t rows) {
  tensor::Matrix m{.dtype = dtype, .k = k, .rows = rows};
  Buffer bytes(m.bytes());
  m.data = bytes.data();
  for (size_t at = 0; at < m.bytes(); at += tensor::Traits(dtype).block_bytes) {
    internal::FillBlock(random, dtype, bytes.data() + at);
  }
  if (layout == tensor::Layout::kRows16) {
    return AsRows16(m);
  }
  return {std::move(bytes), m};
}

// Activation rows for weights of `dtype`, packed by `set`.
struct OwnedActivations {
  Buffer bytes;
  Activations activations;
};

inline OwnedActivations RandomActivations(Random& random, const KernelSet& set, tensor::DType dtype,
                                          uint64_t k, size_t n_rows) {
  const ActivationFormat format = ActivationFormatFor(dtype);
  const size_t stride = ActivationRowBytes(format, k);
  Buffer bytes(stride * n_rows);
  for (size_t i = 0; i < n_rows; ++i) {
    std::vector<float> x = RandomFloats(random, k);
    if (random.OneIn(8)) {  // a row of zero blocks, and of tiny ones
      const float factor = random.OneIn(2) ? 0.0F : 0x1p-120F;
      for (float& v : x) {
        v *= factor;
      }
    }
    set.pack_activation(format, x.data(), k, bytes.data() + i * stride);
  }
  const Activations a{.format = format,
                      .k = k,
                      .n_rows = n_rows,
                      .row_stride = stride,
                      .data = bytes.data(),
                      .row_idx = nullptr};
  return {std::move(bytes), a};
}

// Names the instances of a test suite over AllKernelSets(); `Info` is GoogleTest's TestParamInfo.
template <class Info>
std::string SetName(const Info& info) {
  return std::string(info.param->name);
}

}  // namespace plimsoll::kernels::testing
