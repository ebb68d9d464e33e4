#include "kernels/kv_panels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/half.h"

namespace plimsoll::kernels {
namespace {

using tensor::KvContent;
using tensor::KvPanel;
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

// A quantized panel that is being written.
class Writer {
 public:
  Writer(const KvPanel& panel, std::byte* out) : panel_(panel), out_(out) {
    std::memset(out + panel.codes_offset(), 0, panel.bytes() - panel.codes_offset());
  }

  void PutScale(uint32_t token, uint32_t channel, uint16_t bits) {
    PutHalf(panel_.ScaleAt(token, channel), bits);
  }
  void PutMinimum(uint32_t channel, uint16_t bits) {
    PutHalf(panel_.n_scales() + panel_.ScaleAt(0, channel), bits);
  }
  void PutCode(uint32_t token, uint32_t channel, int code) {
    const KvPanel::Place place = panel_.CodeAt(token, channel);
    const int in_byte = place.is_high ? code << 4 : code;
    out_[panel_.codes_offset() + place.byte] |= static_cast<std::byte>(in_byte);
  }

 private:
  void PutHalf(size_t i, uint16_t bits) {
    std::memcpy(out_ + i * sizeof(bits), &bits, sizeof(bits));
  }

  const KvPanel& panel_;
  std::byte* out_;
};

void QuantizeChannels(const KvPanel& panel, const uint16_t* rows, Writer& writer) {
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
      writer.PutScale(0, first + i, scale.bits);
      if (!is_q8) {
        writer.PutMinimum(first + i, FloatToF16(low[i]));
      }
    }
    for (uint32_t t = 0; t < kTokens; ++t) {
      for (uint32_t i = 0; i < kLane; ++i) {
        const float x = lane.x[t][i];
        writer.PutCode(t, first + i,
                       is_q8 ? NearestCode(x * inverse[i], -127, 127)
                             : NearestCode((x - low[i]) * inverse[i], 0, 15));
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

void QuantizeTokens(const KvPanel& panel, const uint16_t* rows, Writer& writer) {
  const bool is_q8 = panel.type == KvType::kQ8;
  for (uint32_t group = 0; group < panel.n_groups(); ++group) {
    const uint32_t first = group * tensor::kKvGroup;
    const std::array<Lane, kLanesOfGroup> lanes = {Lane(rows, panel.dim, first),
                                                   Lane(rows, panel.dim, first + kLane)};
    for (uint32_t t = 0; t < kTokens; ++t) {
      const float largest = LargestOf(lanes[0], lanes[1], t);
      const Scale scale = MakeScale(is_q8 ? std::fabs(largest) / 127.0F : largest / -8.0F);
      writer.PutScale(t, first, scale.bits);
      for (uint32_t half = 0; half < kLanesOfGroup; ++half) {
        const uint32_t at = first + half * kLane;
        if (at >= panel.padded_dim()) {
          break;
        }
        for (uint32_t i = 0; i < kLane; ++i) {
          const float x = lanes[half].x[t][i] * scale.inverse;
          writer.PutCode(t, at + i,
                         is_q8 ? NearestCode(x, -127, 127) : NearestCode(x + 8.0F, 0, 15));
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
  Writer writer(panel, out);
  if (panel.content == KvContent::kKeys) {
    QuantizeChannels(panel, rows, writer);
  } else {
    QuantizeTokens(panel, rows, writer);
  }
}

int PanelCode(const KvPanel& panel, const std::byte* data, uint32_t token, uint32_t channel) {
  const KvPanel::Place place = panel.CodeAt(token, channel);
  const auto byte = static_cast<uint8_t>(data[panel.codes_offset() + place.byte]);
  if (panel.type == KvType::kQ8) {
    return static_cast<int8_t>(byte);
  }
  const int code = place.is_high ? byte >> 4 : byte & 0xF;
  return panel.has_minima() ? code : code - 8;
}

float PanelScale(const KvPanel& panel, const std::byte* data, uint32_t token, uint32_t channel) {
  return F16ToFloat(HalfAt(data, panel.ScaleAt(token, channel)));
}

float PanelMinimum(const KvPanel& panel, const std::byte* data, uint32_t channel) {
  return panel.has_minima() ? F16ToFloat(HalfAt(data, panel.n_scales() + channel)) : 0.0F;
}

float PanelElement(const KvPanel& panel, const std::byte* data, uint32_t token, uint32_t channel) {
  return std::fma(static_cast<float>(PanelCode(panel, data, token, channel)),
                  PanelScale(panel, data, token, channel), PanelMinimum(panel, data, channel));
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
