// What the heads of a layer get from the cache.
#pragma once

#include <cstddef>
#include <cstdint>

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
  float scale = 0;               // of the scores
  const float* sinks = nullptr;  // [n_heads], or null
};

// Attends to what the cache has of layer `layer_idx`, these tokens' own keys and values included.
// Tokens that follow one another in a sequence are taken together, heads and tokens are shared out
// over the team; neither changes a bit.
void Attend(const Step& step, uint32_t layer_idx, const AttendRows& rows);

}  // namespace plimsoll::model
