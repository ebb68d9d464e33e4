// What the heads of a layer get from the cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/step.h"

namespace plimsoll::model {

// Queries and results of the tokens [first, first + n) of a chunk.
struct AttendRows {
  size_t first = 0;
  size_t n = 0;
  const float* q = nullptr;  // token first + i: [n_heads][head_dim_k] at q + i * q_stride
  size_t q_stride = 0;       // floats
  float* out = nullptr;      // [n_heads][head_dim_v] at out + i * out_stride
  size_t out_stride = 0;
  const float* sinks = nullptr;  // [n_heads], or null
};

// What the products of queries and keys are multiplied with.
[[nodiscard]] float AttentionScale(const HyperParams& hp, uint32_t layer_idx);

// The first of a sequence's slots that stand at `first_seen` (LayerParams) or behind it; slots are
// of ascending positions.
[[nodiscard]] uint32_t FirstVisible(std::span<const uint32_t> positions, uint32_t first_seen);

// Attends to what the cache has of layer `layer_idx`, these tokens' own keys and values included.
// Tokens that follow one another in a sequence are taken together, heads and tokens are shared out
// over the team; neither changes a bit. Queries that a sequence keeps go to it.
void Attend(const Step& step, uint32_t layer_idx, const AttendRows& rows);

}  // namespace plimsoll::model
