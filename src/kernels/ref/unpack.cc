#include "kernels/ref/unpack.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "kernels/half.h"
#include "kernels/tables.h"

namespace plimsoll::kernels::ref {
namespace {

int LowNibble(uint8_t byte) { return byte & 15; }
int HighNibble(uint8_t byte) { return byte >> 4; }

// Sixteen bytes hold 32 codes: the low nibbles are elements 0-15, the high ones 16-31.
template <class Value>
void UnpackNibbles(const uint8_t (&qs)[16], int8_t* w, Value value) {
  for (int i = 0; i < 16; ++i) {
    w[i] = static_cast<int8_t>(value(LowNibble(qs[i]), i));
    w[i + 16] = static_cast<int8_t>(value(HighNibble(qs[i]), i + 16));
  }
}

int FifthBit(const uint8_t (&qh)[4], int i) { return ((qh[i / 8] >> (i % 8)) & 1) << 4; }

// The twelve bytes of Q4_K and Q5_K: scales and minima 0-3 are the low six bits of bytes 0-3 and
// 4-7; those of 4-7 are nibbles of bytes 8-11 with the two bits that are left over in bytes 0-7 on
// top.
void UnpackScalesAndMinima(const uint8_t (&packed)[12], Unpacked256* out) {
  for (int j = 0; j < 8; ++j) {
    int scale = 0;
    int minimum = 0;
    if (j < 4) {
      scale = packed[j] & 63;
      minimum = packed[j + 4] & 63;
    } else {
      scale = LowNibble(packed[j + 4]) | (packed[j - 4] >> 6) << 4;
      minimum = HighNibble(packed[j + 4]) | (packed[j] >> 6) << 4;
    }
    out->scales[2 * j] = out->scales[2 * j + 1] = static_cast<int16_t>(scale);
    out->minima[2 * j] = out->minima[2 * j + 1] = static_cast<int16_t>(minimum);
  }
}

void NoMinima(Unpacked256* out) {
  out->dmin = 0;
  std::fill(std::begin(out->minima), std::end(out->minima), int16_t{0});
}

void UnitScales(Unpacked256* out) {
  std::fill(std::begin(out->scales), std::end(out->scales), int16_t{1});
}

// Digit n of the five to the base of three that a byte holds.
int TernaryDigit(uint8_t byte, int n) {
  constexpr std::array<int, 5> kPowers = {1, 3, 9, 27, 81};
  const int rest = byte * kPowers[static_cast<size_t>(n)] & 0xff;
  return rest * 3 >> 8;
}

// Calls set(i, half, group, l) for the elements of a super-block in the order of the 2-bit, 3-bit
// and 6-bit types: two halves of 128, in each four groups of 32, in each 32 elements.
template <class Set>
void ForHalvesAndGroups(Set set) {
  for (int half = 0; half < 2; ++half) {
    for (int group = 0; group < 4; ++group) {
      for (int l = 0; l < 32; ++l) {
        set(128 * half + 32 * group + l, half, group, l);
      }
    }
  }
}

}  // namespace

void Unpack(const tensor::BlockQ8_0& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = 0;
  std::memcpy(out->w, block.qs, sizeof(out->w));
}

void Unpack(const tensor::BlockQ4_0& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = 0;
  UnpackNibbles(block.qs, out->w, [](int code, int) { return code - 8; });
}

void Unpack(const tensor::BlockQ4_1& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = F16ToFloat(block.m);
  UnpackNibbles(block.qs, out->w, [](int code, int) { return code; });
}

void Unpack(const tensor::BlockQ5_0& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = 0;
  UnpackNibbles(block.qs, out->w,
                [&](int code, int i) { return (code | FifthBit(block.qh, i)) - 16; });
}

void Unpack(const tensor::BlockQ5_1& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = F16ToFloat(block.m);
  UnpackNibbles(block.qs, out->w, [&](int code, int i) { return code | FifthBit(block.qh, i); });
}

void Unpack(const tensor::BlockIQ4_NL& block, Unpacked32* out) {
  out->d = F16ToFloat(block.d);
  out->m = 0;
  UnpackNibbles(block.qs, out->w,
                [](int code, int) { return kIQ4Values[static_cast<size_t>(code)]; });
}

void Unpack(const tensor::BlockMXFP4& block, Unpacked32* out) {
  out->d = E8M0HalfToFloat(block.e);
  out->m = 0;
  UnpackNibbles(block.qs, out->w,
                [](int code, int) { return kE2M1DoubledValues[static_cast<size_t>(code)]; });
}

void Unpack(const tensor::BlockNVFP4& block, Unpacked64* out) {
  for (int j = 0; j < 4; ++j) {
    out->d[j] = UE4M3HalfToFloat(block.scales[j]);
    for (int l = 0; l < 8; ++l) {
      const uint8_t byte = block.qs[8 * j + l];
      out->w[16 * j + l] = kE2M1DoubledValues[static_cast<size_t>(LowNibble(byte))];
      out->w[16 * j + 8 + l] = kE2M1DoubledValues[static_cast<size_t>(HighNibble(byte))];
    }
  }
}

void Unpack(const tensor::BlockQ2_K& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  out->dmin = F16ToFloat(block.dmin);
  for (int j = 0; j < 16; ++j) {
    out->scales[j] = static_cast<int16_t>(LowNibble(block.scales[j]));
    out->minima[j] = static_cast<int16_t>(HighNibble(block.scales[j]));
  }
  ForHalvesAndGroups([&](int i, int half, int group, int l) {
    out->w[i] = static_cast<int8_t>((block.qs[32 * half + l] >> (2 * group)) & 3);
  });
}

void Unpack(const tensor::BlockQ3_K& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  NoMinima(out);
  for (int j = 0; j < 16; ++j) {
    // Four low bits are nibbles of the first eight bytes, two high bits lie in the last four.
    const int low = j < 8 ? LowNibble(block.scales[j]) : HighNibble(block.scales[j - 8]);
    const int high = (block.scales[8 + j % 4] >> (2 * (j / 4))) & 3;
    out->scales[j] = static_cast<int16_t>((low | high << 4) - 32);
  }
  ForHalvesAndGroups([&](int i, int half, int group, int l) {
    const int low = (block.qs[32 * half + l] >> (2 * group)) & 3;
    const int high = (block.hmask[l] >> (4 * half + group)) & 1;
    out->w[i] = static_cast<int8_t>((low | high << 2) - 4);
  });
}

void Unpack(const tensor::BlockQ4_K& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  out->dmin = F16ToFloat(block.dmin);
  UnpackScalesAndMinima(block.scales, out);
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t byte = block.qs[32 * pair + l];
      out->w[64 * pair + l] = static_cast<int8_t>(LowNibble(byte));
      out->w[64 * pair + 32 + l] = static_cast<int8_t>(HighNibble(byte));
    }
  }
}

void Unpack(const tensor::BlockQ5_K& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  out->dmin = F16ToFloat(block.dmin);
  UnpackScalesAndMinima(block.scales, out);
  for (int pair = 0; pair < 4; ++pair) {
    for (int l = 0; l < 32; ++l) {
      const uint8_t byte = block.qs[32 * pair + l];
      const int high = block.qh[l] >> (2 * pair);
      out->w[64 * pair + l] = static_cast<int8_t>(LowNibble(byte) | (high & 1) << 4);
      out->w[64 * pair + 32 + l] = static_cast<int8_t>(HighNibble(byte) | (high >> 1 & 1) << 4);
    }
  }
}

void Unpack(const tensor::BlockQ6_K& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  NoMinima(out);
  std::copy(std::begin(block.scales), std::end(block.scales), out->scales);
  ForHalvesAndGroups([&](int i, int half, int group, int l) {
    // Groups 0 and 1 are the low nibbles of two runs of 32 bytes, groups 2 and 3 their high ones.
    const uint8_t byte = block.ql[64 * half + 32 * (group % 2) + l];
    const int low = group < 2 ? LowNibble(byte) : HighNibble(byte);
    const int high = (block.qh[32 * half + l] >> (2 * group)) & 3;
    out->w[i] = static_cast<int8_t>((low | high << 4) - 32);
  });
}

void Unpack(const tensor::BlockIQ4_XS& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  NoMinima(out);
  for (int j = 0; j < 8; ++j) {
    const int low = (block.scales_l[j / 2] >> (4 * (j % 2))) & 15;
    const int high = (block.scales_h >> (2 * j)) & 3;
    out->scales[2 * j] = out->scales[2 * j + 1] = static_cast<int16_t>((low | high << 4) - 32);
    for (int l = 0; l < 16; ++l) {
      const uint8_t byte = block.qs[16 * j + l];
      out->w[32 * j + l] = kIQ4Values[static_cast<size_t>(LowNibble(byte))];
      out->w[32 * j + 16 + l] = kIQ4Values[static_cast<size_t>(HighNibble(byte))];
    }
  }
}

void Unpack(const tensor::BlockTQ1_0& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  NoMinima(out);
  UnitScales(out);
  int8_t* w = out->w;
  const auto unpack = [&w](std::span<const uint8_t> bytes, int n_digits) {
    for (int n = 0; n < n_digits; ++n) {
      for (const uint8_t byte : bytes) {
        *w++ = static_cast<int8_t>(TernaryDigit(byte, n) - 1);
      }
    }
  };
  const std::span<const uint8_t> qs = block.qs;
  unpack(qs.first(32), 5);
  unpack(qs.subspan(32), 5);
  unpack(block.qh, 4);
}

void Unpack(const tensor::BlockTQ2_0& block, Unpacked256* out) {
  out->d = F16ToFloat(block.d);
  NoMinima(out);
  UnitScales(out);
  ForHalvesAndGroups([&](int i, int half, int group, int l) {
    out->w[i] = static_cast<int8_t>(((block.qs[32 * half + l] >> (2 * group)) & 3) - 1);
  });
}

}  // namespace plimsoll::kernels::ref
