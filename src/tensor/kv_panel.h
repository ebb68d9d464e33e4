// How the keys or values of one head lie in a block of the KV cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace plimsoll::tensor {

inline constexpr uint32_t kKvPanelTokens = 32;

enum class KvType : uint8_t {
  kF16,
  kBF16,
  kQ8,  // 8 bits an element, and scales
  kQ4,  // 4 bits an element, and scales
};
[[nodiscard]] constexpr bool IsQuantized(KvType type) {
  return type == KvType::kQ8 || type == KvType::kQ4;
}
// "q8"
[[nodiscard]] std::string_view NameOf(KvType type);
// By our name or by llama.cpp's ("q8_0").
[[nodiscard]] std::optional<KvType> KvTypeOf(std::string_view name);

// What a panel has, by which a quantized one is scaled and ordered.
enum class KvContent : uint8_t {
  // A scale for each channel of all tokens: some channels are much larger than others at every
  // token (KIVI, arXiv:2402.02750, section 3).
  kKeys,
  // A scale for up to kKvGroup channels of one token.
  kValues,
  // Both at once, scaled as values are.
  kLatents,
};
inline constexpr uint32_t kKvGroup = 32;
inline constexpr uint32_t kKvLane = 16;

// One head's keys or values of kKvPanelTokens tokens: in 16 bits rows of `dim` elements, one a
// token. Quantized: the scales (F16; those of values as [group][token], those of latents as
// [token][group]), for keys in kQ4 by channel as many minima (F16), then the codes, filled up with
// those of zeros to a multiple of kKvLane channels. An element is code * scale, or, of keys in kQ4,
// code * scale + minimum; others in kQ4 count their codes from -8. A byte has one code of kQ8, or
// two of kQ4. In which order, see CodeAt: what attention sums over, channels of keys and tokens of
// values, lies in pairs, so that instructions that add up products of pairs take them as they lie.
struct KvPanel {
  KvType type = KvType::kF16;
  KvContent content = KvContent::kKeys;
  uint32_t dim = 0;

  // Codes of keys and values lie in units: kKvLane tokens of two channels and kKvLane further ones,
  // or kKvLane channels of two tokens and of the two that follow.
  static constexpr size_t kUnitCodes = 4 * size_t{kKvLane};
  // Units of kKvLane channels of values, behind one another.
  static constexpr size_t kValueUnits = kKvPanelTokens / 4;

  [[nodiscard]] constexpr size_t padded_dim() const {
    return (size_t{dim} + kKvLane - 1) / kKvLane * kKvLane;
  }
  [[nodiscard]] constexpr size_t n_groups() const {
    return (size_t{dim} + kKvGroup - 1) / kKvGroup;
  }
  [[nodiscard]] constexpr bool has_minima() const {
    return type == KvType::kQ4 && content == KvContent::kKeys;
  }
  [[nodiscard]] constexpr size_t n_scales() const {
    return content == KvContent::kKeys ? padded_dim() : kKvPanelTokens * n_groups();
  }
  // The scale of an element, and its minimum among those.
  [[nodiscard]] constexpr size_t ScaleAt(uint32_t token, uint32_t channel) const {
    switch (content) {
      case KvContent::kKeys:
        return channel;
      case KvContent::kValues:
        return size_t{channel / kKvGroup} * kKvPanelTokens + token;
      case KvContent::kLatents:
        break;
    }
    return token * n_groups() + channel / kKvGroup;
  }
  [[nodiscard]] constexpr size_t codes_offset() const {
    return IsQuantized(type) ? n_scales() * sizeof(uint16_t) * (has_minima() ? 2 : 1) : 0;
  }
  // Where the code of an element is, behind codes_offset(); in the high half of its byte or not.
  struct Place {
    size_t byte = 0;
    bool is_high = false;
  };
  [[nodiscard]] constexpr Place CodeAt(uint32_t token, uint32_t channel) const {
    switch (content) {
      case KvContent::kKeys:
        return InUnit(channel / 2, token / kKvLane, 2 * (token % kKvLane) + channel % 2);
      case KvContent::kValues:
        return InUnit(channel / kKvLane * kValueUnits + token / 4, token % 4 / 2,
                      2 * (channel % kKvLane) + token % 2);
      case KvContent::kLatents:
        break;
    }
    constexpr uint32_t kHalf = kKvLane / 2;
    const uint32_t in_lane = channel % kKvLane;
    return type == KvType::kQ8
               ? Place{.byte = token * stride() + channel}
               : Place{.byte = token * stride() + channel / kKvLane * kHalf + in_lane % kHalf,
                       .is_high = in_lane >= kHalf};
  }
  // Bytes for a token's codes or elements; of latents, and in 16 bits, from one token's to the next
  // one's.
  [[nodiscard]] constexpr size_t stride() const {
    switch (type) {
      case KvType::kQ8:
        return padded_dim();
      case KvType::kQ4:
        return padded_dim() / 2;
      case KvType::kF16:
      case KvType::kBF16:
        break;
    }
    return size_t{dim} * sizeof(uint16_t);
  }
  [[nodiscard]] constexpr size_t bytes() const {
    return codes_offset() + kKvPanelTokens * stride();
  }

 private:
  // The i-th code of the first or second half of a unit.
  [[nodiscard]] constexpr Place InUnit(size_t unit, uint32_t half, uint32_t i) const {
    constexpr size_t kHalf = kUnitCodes / 2;
    return type == KvType::kQ8 ? Place{.byte = unit * kUnitCodes + half * kHalf + i}
                               : Place{.byte = unit * kHalf + i, .is_high = half == 1};
  }
};

}  // namespace plimsoll::tensor
