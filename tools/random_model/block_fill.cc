#include "tools/random_model/block_fill.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include "base/invariant.h"
#include "kernels/codebooks.h"
#include "kernels/half.h"
#include "tensor/blocks.h"

namespace plimsoll::random_model {
namespace {

using tensor::DType;

// Mean square of the integers from `low` to `high`, less `offset`.
double MeanSquare(int low, int high, double offset = 0) {
  double sum = 0;
  for (int q = low; q <= high; ++q) {
    sum += (q - offset) * (q - offset);
  }
  return sum / (high - low + 1);
}

// A block's scale varies from block to block, as in real files, around 1 in the square.
double ScaleJitter(RandomStream& random) {
  const double normalise = 1 / std::sqrt(1 + 0.25 / 12);
  return (0.75 + 0.5 * random.Uniform()) * normalise;
}

double RandomSign(RandomStream& random) { return (random.Next() >> 63) != 0 ? -1 : 1; }

uint16_t ScaleBits(double scale) { return kernels::FloatToF16(static_cast<float>(scale)); }

template <class Block>
void RandomBytes(RandomStream& random, Block& block) {
  std::array<uint8_t, sizeof(Block)> bytes = {};
  random.Fill(bytes);
  std::memcpy(&block, bytes.data(), sizeof(Block));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ8_0& block) {
  static const double kUnit = std::sqrt(MeanSquare(-127, 127));
  RandomBytes(random, block);
  std::replace(std::begin(block.qs), std::end(block.qs), int8_t{-128}, int8_t{-127});
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

// Signed quants reach one further down than up; a random sign of the scale keeps the mean at 0.
void FillBlock(RandomStream& random, double rms, tensor::BlockQ4_0& block) {
  static const double kUnit = std::sqrt(MeanSquare(-8, 7));
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random) * RandomSign(random));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ5_0& block) {
  static const double kUnit = std::sqrt(MeanSquare(-16, 15));
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random) * RandomSign(random));
}

// The minimum sits near minus the quants' mean times the scale, so that values centre on 0.
void FillBlock(RandomStream& random, double rms, tensor::BlockQ4_1& block) {
  static const double kUnit = std::sqrt(MeanSquare(0, 15, 7.5));
  RandomBytes(random, block);
  const double d = rms / kUnit * ScaleJitter(random);
  block.d = ScaleBits(d);
  block.m = ScaleBits(-d * (7 + random.Uniform()));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ5_1& block) {
  static const double kUnit = std::sqrt(MeanSquare(0, 31, 15.5));
  RandomBytes(random, block);
  const double d = rms / kUnit * ScaleJitter(random);
  block.d = ScaleBits(d);
  block.m = ScaleBits(-d * (15 + random.Uniform()));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ4_NL& block) {
  constexpr double kUnit = 67.438861200349;  // r.m.s. of the table of sixteen values
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random) * RandomSign(random));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ4_XS& block) {
  static const double kUnit = 67.438861200349 * std::sqrt(MeanSquare(-32, 31));
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

constexpr double kE2M1Rms = 5.852349955359813;  // of the doubled values

// Scales are powers of two: two neighbouring ones mix to the mean square asked for.
void FillBlock(RandomStream& random, double rms, tensor::BlockMXFP4& block) {
  constexpr double kUnit = kE2M1Rms;
  RandomBytes(random, block);
  int exponent = 0;
  const double mantissa = 2 * std::frexp(rms / kUnit, &exponent);  // in [1, 2)
  const double upper_share = (mantissa * mantissa - 1) / 3;
  const int e = exponent - 1 + 128 + (random.Uniform() < upper_share ? 1 : 0);
  block.e = static_cast<uint8_t>(std::clamp(e, 0, 254));
}

// Where weights are small, scales are few multiples of 2^-10: two neighbouring ones mix again.
void FillBlock(RandomStream& random, double rms, tensor::BlockNVFP4& block) {
  RandomBytes(random, block);
  for (uint8_t& scale : block.scales) {
    const double wanted = rms / kE2M1Rms * ScaleJitter(random);
    uint8_t upper = 1;
    while (upper < 0x7E && double{kernels::UE4M3HalfToFloat(upper)} < wanted) {
      ++upper;
    }
    const double high = kernels::UE4M3HalfToFloat(upper);
    const double low = kernels::UE4M3HalfToFloat(static_cast<uint8_t>(upper - 1));
    const double upper_share = (wanted * wanted - low * low) / (high * high - low * low);
    scale = static_cast<uint8_t>(random.Uniform() < upper_share ? upper : upper - 1);
  }
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ3_K& block) {
  static const double kUnit = std::sqrt(MeanSquare(-32, 31) * MeanSquare(-4, 3));
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ6_K& block) {
  static const double kUnit = std::sqrt(MeanSquare(-128, 127) * MeanSquare(-32, 31));
  RandomBytes(random, block);
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

// In the types with minima, dmin is the scale times the quants' mean and each minimum is near its
// scale, so that every sub-block centres near 0.
void FillBlock(RandomStream& random, double rms, tensor::BlockQ2_K& block) {
  static const double kUnit =
      std::sqrt(MeanSquare(1, 15) * MeanSquare(0, 3, 1.5) + 1.5 * 1.5 * MeanSquare(-1, 1));
  RandomBytes(random, block);
  for (uint8_t& packed : block.scales) {
    const uint32_t scale = 1 + random.Below(15);
    const uint32_t minimum = std::min(scale + random.Below(3) - 1, 15U);
    packed = static_cast<uint8_t>(scale | minimum << 4);
  }
  const double d = rms / kUnit * ScaleJitter(random);
  block.d = ScaleBits(d);
  block.dmin = ScaleBits(1.5 * d);
}

// Packs eight 6-bit scales and minima as Q4_K and Q5_K hold them: the first four of each in the low
// bits of bytes 0-3 and 4-7, the last four as nibbles in bytes 8-11 with their top two bits above
// the first eight bytes' values.
void PackScales(const std::array<uint32_t, 8>& scales, const std::array<uint32_t, 8>& minima,
                uint8_t (&out)[12]) {
  for (size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<uint8_t>(scales[j] | scales[j + 4] >> 4 << 6);
    out[j + 4] = static_cast<uint8_t>(minima[j] | minima[j + 4] >> 4 << 6);
    out[j + 8] = static_cast<uint8_t>((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
  }
}

template <class Block>
void FillSuperBlockWithMinima(RandomStream& random, double rms, int q_max, Block& block) {
  const double q_mean = q_max / 2.0;
  const double unit = std::sqrt(MeanSquare(16, 63) * MeanSquare(0, q_max, q_mean) +
                                q_mean * q_mean * MeanSquare(-2, 2));
  RandomBytes(random, block);
  std::array<uint32_t, 8> scales = {};
  std::array<uint32_t, 8> minima = {};
  for (size_t j = 0; j < 8; ++j) {
    scales[j] = 16 + random.Below(48);
    minima[j] = std::min(scales[j] + random.Below(5) - 2, 63U);
  }
  PackScales(scales, minima, block.scales);
  const double d = rms / unit * ScaleJitter(random);
  block.d = ScaleBits(d);
  block.dmin = ScaleBits(q_mean * d);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ4_K& block) {
  FillSuperBlockWithMinima(random, rms, 15, block);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockQ5_K& block) {
  FillSuperBlockWithMinima(random, rms, 31, block);
}

// Mean square of what the digits of a codebook's entries stand for.
template <size_t kEntries, class Value>
double MeanSquare(const std::array<uint16_t, kEntries>& codebook, int digit_bits, Value value) {
  double sum = 0;
  for (const uint16_t entry : std::span(codebook).first(kEntries - 1)) {
    for (int shift = 0; shift < 16; shift += digit_bits) {
      const double x = value(entry >> shift & ((1 << digit_bits) - 1));
      sum += x * x;
    }
  }
  return sum / static_cast<double>((kEntries - 1) * static_cast<size_t>(16 / digit_bits));
}

// Of the odd numbers from 1 on that scales of n bits stand for.
double MeanSquareOfOddScales(int bits) { return 4 * MeanSquare(0, (1 << bits) - 1, -0.5); }

double IQ2Magnitude(int digit) { return kernels::kIQ2Magnitudes[static_cast<size_t>(digit)]; }

// Any bytes are a block of these types.
template <class Block>
void FillCodebookBlock(RandomStream& random, double rms, double unit, Block& block) {
  RandomBytes(random, block);
  block.d = ScaleBits(rms / unit * ScaleJitter(random) * RandomSign(random));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ2_XXS& block) {
  static const double kUnit =
      0.125 *
      std::sqrt(MeanSquareOfOddScales(4) * MeanSquare(kernels::kIQ2XXSCodebook, 2, IQ2Magnitude));
  FillCodebookBlock(random, rms, kUnit, block);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ2_XS& block) {
  static const double kUnit =
      0.125 *
      std::sqrt(MeanSquareOfOddScales(4) * MeanSquare(kernels::kIQ2XSCodebook, 2, IQ2Magnitude));
  FillCodebookBlock(random, rms, kUnit, block);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ2_S& block) {
  static const double kUnit =
      0.125 *
      std::sqrt(MeanSquareOfOddScales(4) * MeanSquare(kernels::kIQ2SCodebook, 2, IQ2Magnitude));
  FillCodebookBlock(random, rms, kUnit, block);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ3_XXS& block) {
  static const double kUnit =
      0.25 *
      std::sqrt(MeanSquareOfOddScales(4) * MeanSquare(kernels::kIQ3XXSCodebook, 4, [](int digit) {
                  return kernels::kIQ3XXSMagnitudes[static_cast<size_t>(digit)];
                }));
  FillCodebookBlock(random, rms, kUnit, block);
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ3_S& block) {
  static const double kUnit =
      std::sqrt(MeanSquareOfOddScales(4) *
                MeanSquare(kernels::kIQ3SCodebook, 4, [](int digit) { return 2 * digit + 1; }));
  FillCodebookBlock(random, rms, kUnit, block);
}

// An entry's digits and an eighth more or less.
double UnitOfIQ1() {
  const double square = MeanSquare(kernels::kIQ1Codebook, 2, [](int digit) { return digit - 1; });
  return std::sqrt(MeanSquareOfOddScales(3) * (square + 1.0 / 64));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockIQ1_S& block) {
  static const double kUnit = UnitOfIQ1();
  FillCodebookBlock(random, rms, kUnit, block);
}

// The scale's F16 is in the top nibbles of four words.
void FillBlock(RandomStream& random, double rms, tensor::BlockIQ1_M& block) {
  static const double kUnit = UnitOfIQ1();
  RandomBytes(random, block);
  const uint16_t d = ScaleBits(rms / kUnit * ScaleJitter(random) * RandomSign(random));
  for (size_t i = 0; i < 4; ++i) {
    uint8_t& top = block.scales[2 * i + 1];
    top = static_cast<uint8_t>((top & 15) | (d >> (4 * i) & 15) << 4);
  }
}

// Bytes as a quantizer writes them, rounded up, so that every way to take the digits gives them.
uint8_t TernaryByte(uint32_t digits) { return static_cast<uint8_t>((digits * 256 + 242) / 243); }

void FillBlock(RandomStream& random, double rms, tensor::BlockTQ1_0& block) {
  static const double kUnit = std::sqrt(MeanSquare(-1, 1));
  for (uint8_t& five : block.qs) {
    five = TernaryByte(random.Below(243));
  }
  for (uint8_t& four : block.qh) {
    four = TernaryByte(3 * random.Below(81));
  }
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

void FillBlock(RandomStream& random, double rms, tensor::BlockTQ2_0& block) {
  static const double kUnit = std::sqrt(MeanSquare(-1, 1));
  for (uint8_t& four : block.qs) {
    four = 0;
    for (int i = 0; i < 4; ++i) {
      four = static_cast<uint8_t>(uint32_t{four} << 2 | random.Below(3));
    }
  }
  block.d = ScaleBits(rms / kUnit * ScaleJitter(random));
}

template <class Block>
void FillBlocks(RandomStream& random, double rms, std::span<std::byte> out) {
  for (size_t at = 0; at < out.size(); at += sizeof(Block)) {
    Block block;
    FillBlock(random, rms, block);
    std::memcpy(out.data() + at, &block, sizeof(Block));
  }
}

template <class Element, class Convert>
void FillFloats(RandomStream& random, double rms, double mean, std::span<std::byte> out,
                Convert convert) {
  for (size_t at = 0; at < out.size(); at += sizeof(Element)) {
    const Element element = convert(static_cast<float>(mean + rms * random.Normal()));
    std::memcpy(out.data() + at, &element, sizeof(Element));
  }
}

}  // namespace

void FillWeights(DType dtype, RandomStream& random, double rms, double mean,
                 std::span<std::byte> out) {
  Invariant(out.size() % tensor::Traits(dtype).block_bytes == 0, "FillWeights: whole blocks");
  switch (dtype) {
    case DType::kF32:
      return FillFloats<float>(random, rms, mean, out, [](float x) { return x; });
    case DType::kF16:
      return FillFloats<uint16_t>(random, rms, mean, out, kernels::FloatToF16);
    case DType::kBF16:
      return FillFloats<uint16_t>(random, rms, mean, out, kernels::FloatToBF16);
    case DType::kQ8_0:
      return FillBlocks<tensor::BlockQ8_0>(random, rms, out);
    case DType::kQ4_0:
      return FillBlocks<tensor::BlockQ4_0>(random, rms, out);
    case DType::kQ4_1:
      return FillBlocks<tensor::BlockQ4_1>(random, rms, out);
    case DType::kQ5_0:
      return FillBlocks<tensor::BlockQ5_0>(random, rms, out);
    case DType::kQ5_1:
      return FillBlocks<tensor::BlockQ5_1>(random, rms, out);
    case DType::kQ2_K:
      return FillBlocks<tensor::BlockQ2_K>(random, rms, out);
    case DType::kQ3_K:
      return FillBlocks<tensor::BlockQ3_K>(random, rms, out);
    case DType::kQ4_K:
      return FillBlocks<tensor::BlockQ4_K>(random, rms, out);
    case DType::kQ5_K:
      return FillBlocks<tensor::BlockQ5_K>(random, rms, out);
    case DType::kQ6_K:
      return FillBlocks<tensor::BlockQ6_K>(random, rms, out);
    case DType::kIQ4_NL:
      return FillBlocks<tensor::BlockIQ4_NL>(random, rms, out);
    case DType::kIQ4_XS:
      return FillBlocks<tensor::BlockIQ4_XS>(random, rms, out);
    case DType::kIQ2_XXS:
      return FillBlocks<tensor::BlockIQ2_XXS>(random, rms, out);
    case DType::kIQ2_XS:
      return FillBlocks<tensor::BlockIQ2_XS>(random, rms, out);
    case DType::kIQ2_S:
      return FillBlocks<tensor::BlockIQ2_S>(random, rms, out);
    case DType::kIQ3_XXS:
      return FillBlocks<tensor::BlockIQ3_XXS>(random, rms, out);
    case DType::kIQ3_S:
      return FillBlocks<tensor::BlockIQ3_S>(random, rms, out);
    case DType::kIQ1_S:
      return FillBlocks<tensor::BlockIQ1_S>(random, rms, out);
    case DType::kIQ1_M:
      return FillBlocks<tensor::BlockIQ1_M>(random, rms, out);
    case DType::kTQ1_0:
      return FillBlocks<tensor::BlockTQ1_0>(random, rms, out);
    case DType::kTQ2_0:
      return FillBlocks<tensor::BlockTQ2_0>(random, rms, out);
    case DType::kMXFP4:
      return FillBlocks<tensor::BlockMXFP4>(random, rms, out);
    case DType::kNVFP4:
      return FillBlocks<tensor::BlockNVFP4>(random, rms, out);
  }
}

}  // namespace plimsoll::random_model
