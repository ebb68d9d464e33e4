// What a test must do at least: the figures behind "share of the machine".
#pragma once

#include <cstdint>

#include "bench/plan.h"
#include "engine/engine.h"

namespace plimsoll::bench {

struct Work {
  // Weights and KV that must come from memory. The tokens of a chunk share what they read: each
  // weight once a chunk, of the experts as many as the chunk can choose, and the keys and values
  // that its last token sees; of the output matrix what makes one row of logits.
  uint64_t read_bytes = 0;
  // Products of activations and weights, and of queries, keys, scores and values.
  uint64_t weight_multiply_adds = 0;
  uint64_t attention_multiply_adds = 0;

  [[nodiscard]] uint64_t multiply_adds() const {
    return weight_multiply_adds + attention_multiply_adds;
  }
};

// One repetition of a test, without what fills the depth.
[[nodiscard]] Work WorkOf(const engine::Engine& engine, const BenchTest& test);

}  // namespace plimsoll::bench
