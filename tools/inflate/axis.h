// How the axes of a model's tensors grow. The mathematics, and why the wide model says what the
// small one says, is in README.md of this folder.
#pragma once

#include <cstdint>
#include <vector>

#include "tools/inflate/dimensions.h"

namespace plimsoll::inflate {

// Value i of the wide axis is value source[i] of the small one. Where the axis is summed over,
// factor[i] is what the copy counts; without factors each counts 1.
struct Axis {
  uint32_t n_source = 0;
  std::vector<uint32_t> source;
  std::vector<float> factor = {};

  [[nodiscard]] uint64_t size() const { return source.size(); }
};

// What each of n copies of a summand counts: powers of two that sum to 1, in descending order, so
// that no rounding comes with them. For n a power of two all are 1 / n.
[[nodiscard]] std::vector<float> Shares(uint32_t n);

// The shares of n copies as a product of two powers of two of about the same size: one factor for
// all copies where the summands are made, and one a copy where they are summed. A scale of half
// precision has room for either, but not for the whole.
struct SplitShares {
  float made = 1;
  std::vector<float> summed;
};
[[nodiscard]] SplitShares SplitOf(uint32_t n);

// Every axis of the model. `from` and `to` have passed CheckWidening.
struct Axes {
  Axis single;  // of vectors
  Axis vocabulary;
  Axis experts;
  Axis stream;       // the residual stream: tiled; its shares are in the norms
  Axis stream_norm;  // weights of the norms before attention, experts and output
  Axis queries;      // heads repeated, every rotated pair followed by copies of itself ...
  Axis keys;
  Axis query_norm;  // ... that this and key_norm make 0
  Axis key_norm;
  Axis values;           // heads repeated, each head tiled
  Axis value_input;      // the stream, with the values' common factor
  Axis attention_input;  // what attention gives, summed over
  Axis expert_rows;      // tiled
  Axis up_input;         // the stream, with the experts' common factor
  Axis down_input;       // an expert's inner values, summed over
};
[[nodiscard]] Axes MakeAxes(const Dimensions& from, const Dimensions& to, uint32_t vocab_size,
                            uint32_t n_experts);

}  // namespace plimsoll::inflate
