// What the reordering of tensors needs to know of a model.
#pragma once

#include <cstdint>

namespace plimsoll::formats::safetensors {

struct Dimensions {
  uint32_t n_layers = 0;
  uint32_t n_heads = 0;
  uint32_t n_kv_heads = 0;
  uint32_t n_experts = 0;
  // Of a head's keys, but for what is rotated, and values, where latent attention makes them.
  uint32_t latent_key_dim = 0;
  uint32_t latent_value_dim = 0;
  // Of gated delta nets.
  uint32_t n_key_heads = 0;
  uint32_t n_value_heads = 0;
  uint32_t key_head_dim = 0;
  uint32_t value_head_dim = 0;
};

}  // namespace plimsoll::formats::safetensors
