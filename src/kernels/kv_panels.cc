#include "kernels/kv_panels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/half.h"

namespace plimsoll::kernels {
namespace {

using tensor::KvPanel;
using tensor::KvScaling;
using tensor::KvType;

constexpr uint32_t kTokens = tensor::kKvPanelTokens;
constexpr uint32_t kLane = tensor::kKvLane;
constexpr uint32_t kLanesOfGroup = tensor::kKvGroup / kLane;

// The nearest integer, ties to even, within [lowest, highest]; lowest for a NaN.
int NearestCode(float x, float lowest, float highest) {
  constexpr float kRounds = 0x1.8p23F;  // whose sum with a small number is rounded to an integer
  const float within = std::min(highest, std::max(lowest, x));
  return std::bit_cast<int32_t>(within + kRounds) - std::bit_cast<int32_t>(kRounds);
}

struct Scale {
  uint16_t bits = 0;
  float inverse = 0;  // of what the bits say; 0: all codes are that of 0
};

Scale MakeScale(float exact) {
  const uint16_t bits = FloatToF16(exact);
  const float scale = F16ToFloat(bits);
  return {bits, scale != 0 ? 1.0F / scale : 0.0F};
}

// kLane channels of all tokens as floats; zeros beyond the last channel.
struct Lane {
  float x[kTokens][kLane];

  Lane(const uint16_t* rows, uint32_t dim, uint32_t first) {
    const uint32_t n = first < dim ? std::min(kLane, dim - first) : 0;
    for (uint32_t t = 0; t < kTokens; ++t) {
      for (uint32_t i = 0; i < n; ++i) {
        x[t][i] = F16ToFloat(rows[size_t{t} * dim + first + i]);
      }
      std::fill(x[t] + n, x[t] + kLane, 0.0F);
    }
  }
};

// Where a quantized panel's parts are.
struct Places {
  std::byte* scales;
  std::byte* minima;
  std::byte* codes;

  Places(const KvPanel& panel, std::byte* out)
      : scales(out),
        minima(out + panel.n_scales() * sizeof(uint16_t)),
        codes(out + panel.codes_offset()) {}

  static void Put(std::byte* halves, size_t i, uint16_t bits) {
    std::memcpy(halves + i * sizeof(bits), &bits, sizeof(bits));
  }
};

void PutBytes(const int* codes, std::byte* out) {
  for (uint32_t i = 0; i < kLane; ++i) {
    out[i] = static_cast<std::byte>(codes[i]);
  }
}

void PutNibbles(const int* codes, std::byte* out) {
  for (uint32_t i = 0; i < kLane / 2; ++i) {
    out[i] = static_cast<std::byte>(codes[i] | codes[i + kLane / 2] << 4);
  }
}

void QuantizeChannels(const KvPanel& panel, const uint16_t* rows, const Places& places) {
  const bool is_q8 = panel.type == KvType::kQ8;
  for (uint32_t first = 0; first < panel.padded_dim(); first += kLane) {
    const Lane lane(rows, panel.dim, first);
    std::array<float, kLane> low = {};
    std::array<float, kLane> high = {};
    std::copy_n(lane.x[0], kLane, low.begin());
    std::copy_n(lane.x[0], kLane, high.begin());
    for (uint32_t t = 1; t < kTokens; ++t) {
      for (uint32_t i = 0; i < kLane; ++i) {
        low[i] = std::min(low[i], lane.x[t][i]);
        high[i] = std::max(high[i], lane.x[t][i]);
      }
    }
    std::array<float, kLane> inverse = {};
    for (uint32_t i = 0; i < kLane; ++i) {
      const Scale scale =
          MakeScale(is_q8 ? std::max(-low[i], high[i]) / 127.0F : (high[i] - low[i]) / 15.0F);
      inverse[i] = scale.inverse;
      Places::Put(places.scales, first + i, scale.bits);
      if (!is_q8) {
        Places::Put(places.minima, first + i, FloatToF16(low[i]));
      }
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
      std::array<int, kLane> codes;
      if (is_q8) {
        for (uint32_t i = 0; i < kLane; ++i) {
          codes[i] = NearestCode(lane.x[t][i] * inverse[i], -127, 127);
        }
        PutBytes(codes.data(), places.codes + t * panel.stride() + first);
      } else {
        for (uint32_t i = 0; i < kLane; ++i) {
          codes[i] = NearestCode((lane.x[t][i] - low[i]) * inverse[i], 0, 15);
        }
        PutNibbles(codes.data(), places.codes + t * panel.stride() + first / 2);
      }
    }
  }
}

// The element of largest magnitude, the first of several.
float LargestOf(const Lane& a, const Lane& b, uint32_t token) {
  float largest = 0;
  for (const Lane* lane : {&a, &b}) {
    for (const float x : lane->x[token]) {
      largest = std::fabs(x) > std::fabs(largest) ? x : largest;
    }
  }
  return largest;
}

void QuantizeTokens(const KvPanel& panel, const uint16_t* rows, const Places& places) {
  const bool is_q8 = panel.type == KvType::kQ8;
  for (uint32_t group = 0; group < panel.n_groups(); ++group) {
    const uint32_t first = group * tensor::kKvGroup;
    const std::array<Lane, kLanesOfGroup> lanes = {Lane(rows, panel.dim, first),
                                                   Lane(rows, panel.dim, first + kLane)};
    for (uint32_t t = 0; t < kTokens; ++t) {
      const float largest = LargestOf(lanes[0], lanes[1], t);
      const Scale scale = MakeScale(is_q8 ? std::fabs(largest) / 127.0F : largest / -8.0F);
      Places::Put(places.scales, t * panel.n_groups() + group, scale.bits);
      std::byte* row = places.codes + t * panel.stride();
      for (uint32_t half = 0; half < kLanesOfGroup; ++half) {
        const uint32_t at = first + half * kLane;
        if (at >= panel.padded_dim()) {
          break;
        }
        std::array<int, kLane> codes;
        for (uint32_t i = 0; i < kLane; ++i) {
          const float x = lanes[half].x[t][i] * scale.inverse;
          codes[i] = is_q8 ? NearestCode(x, -127, 127) : NearestCode(x + 8.0F, 0, 15);
        }
        if (is_q8) {
          PutBytes(codes.data(), row + at);
        } else {
          PutNibbles(codes.data(), row + at / 2);
        }
      }
    }
  }
}

uint16_t HalfAt(const std::byte* halves, size_t i) {
  uint16_t bits = 0;
  std::memcpy(&bits, halves + i * sizeof(bits), sizeof(bits));
  return bits;
}

}  // namespace

void QuantizePanel(const KvPanel& panel, const uint16_t* rows, std::byte* out) {
  const Places places(panel, out);
  if (panel.scaling == KvScaling::kPerChannel) {
    QuantizeChannels(panel, rows, places);
  } else {
    QuantizeTokens(panel, rows, places);
  }
}

float PanelElement(const KvPanel& panel, const std::byte* data, uint32_t token, uint32_t channel) {
  const std::byte* row = data + panel.codes_offset() + token * panel.stride();
  if (panel.type == KvType::kF16) {
    return F16ToFloat(HalfAt(row, channel));
  }
  if (panel.type == KvType::kBF16) {
    return BF16ToFloat(HalfAt(row, channel));
  }
  const bool by_channel = panel.scaling == KvScaling::kPerChannel;
  const size_t at = by_channel ? channel : token * panel.n_groups() + channel / tensor::kKvGroup;
  const float scale = F16ToFloat(HalfAt(data, at));
  if (panel.type == KvType::kQ8) {
    return static_cast<float>(static_cast<int8_t>(row[channel])) * scale;
  }
  const uint32_t in_lane = channel % kLane;
  const auto pair = static_cast<uint32_t>(row[channel / kLane * (kLane / 2) + in_lane % 8]);
  const auto code = static_cast<float>(in_lane < 8 ? pair & 0xFU : pair >> 4);
  const float minimum =
      by_channel ? F16ToFloat(HalfAt(data, panel.n_scales() + at)) : -8.0F * scale;
  return std::fma(code, scale, minimum);
}

void Hadamard(float* x, uint32_t n) {
  for (uint32_t h = 1; h < n; h *= 2) {
    for (uint32_t first = 0; first < n; first += 2 * h) {
      for (uint32_t i = first; i < first + h; ++i) {
        const float a = x[i];
        const float b = x[i + h];
        x[i] = a + b;
        x[i + h] = a - b;
      }
    }
  }
  const float scale = 1.0F / std::sqrt(static_cast<float>(n));
  std::for_each(x, x + n, [scale](float& value) { value *= scale; });
}

}  // namespace plimsoll::kernels
