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

// Which elements of a quantized panel have a scale in common.
enum class KvScaling : uint8_t {
  // A channel of all tokens: keys, some of whose channels are much larger than others at every
  // token (KIVI, arXiv:2402.02750, section 3).
  kPerChannel,
  // Up to kKvGroup channels of one token: values, and latents, which are both.
  kPerToken,
};
inline constexpr uint32_t kKvGroup = 32;

// One head's keys or values of kKvPanelTokens tokens: in 16 bits rows of `dim` elements, one a
// token. Quantized: the scales (F16), for kQ4 by channel as many minima (F16), then rows of codes,
// each filled up with zeros to a multiple of kKvLane channels. An element is code * scale, or
// code * scale + minimum; kQ4 by token counts its codes from -8. Two codes of kQ4 share a byte: of
// kKvLane channels byte j has channel j in its low half and j + 8 in its high half.
inline constexpr uint32_t kKvLane = 16;

struct KvPanel {
  KvType type = KvType::kF16;
  KvScaling scaling = KvScaling::kPerChannel;  // of a quantized one
  uint32_t dim = 0;

  [[nodiscard]] constexpr size_t padded_dim() const {
    return (size_t{dim} + kKvLane - 1) / kKvLane * kKvLane;
  }
  [[nodiscard]] constexpr size_t n_groups() const {
    return (size_t{dim} + kKvGroup - 1) / kKvGroup;
  }
  [[nodiscard]] constexpr bool has_minima() const {
    return type == KvType::kQ4 && scaling == KvScaling::kPerChannel;
  }
  [[nodiscard]] constexpr size_t n_scales() const {
    return scaling == KvScaling::kPerChannel ? padded_dim() : kKvPanelTokens * n_groups();
  }
  [[nodiscard]] constexpr size_t codes_offset() const {
    return IsQuantized(type) ? n_scales() * sizeof(uint16_t) * (has_minima() ? 2 : 1) : 0;
  }
  // Bytes from a token's codes, or elements, to the next one's.
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
};

}  // namespace plimsoll::tensor
