// The sizes of a model that widening changes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/metadata.h"

namespace plimsoll::inflate {

inline constexpr std::string_view kArchitecture = "qwen3moe";

// Of each dimension: far beyond every published model's. Products of two stay within 32 bits.
inline constexpr uint32_t kDimensionMax = 32768;

struct Dimensions {
  uint32_t n_layers = 0;
  uint32_t hidden_dim = 0;
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t head_dim = 0;
  uint32_t expert_ff_dim = 0;

  // Keys and values are made of n_kv_heads * head_dim, queries and what attention gives of:
  [[nodiscard]] uint32_t q_dim() const { return n_heads * head_dim; }
  [[nodiscard]] uint32_t kv_dim() const { return n_kv_heads * head_dim; }

  friend bool operator==(const Dimensions&, const Dimensions&) = default;
};

// Shapes of published models. Widening leaves the number of experts and the vocabulary as they are.
struct Shape {
  std::string_view name;
  std::string_view description;
  Dimensions dimensions;
};
[[nodiscard]] std::span<const Shape> Shapes();
// kUsage names the shapes there are.
[[nodiscard]] Result<Dimensions> ShapeNamed(std::string_view name);

// Of a model's metadata. kBadModel names the key when it is missing, or when it is one that changes
// what the model computes in a way that widening does not know.
[[nodiscard]] Result<Dimensions> ReadDimensions(const formats::Metadata& metadata);

// Writes them under the keys that ReadDimensions reads.
void SetDimensions(const Dimensions& dimensions, formats::Metadata& metadata);

// kUsage names the dimension of `to` that is no whole multiple of that of `from` (layers: that are
// fewer).
[[nodiscard]] Result<> CheckWidening(const Dimensions& from, const Dimensions& to);

}  // namespace plimsoll::inflate
