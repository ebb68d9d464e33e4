// What a model's routers chose, token by token: enough to replay every eviction policy without the
// model. In memory; trace_file.h has the files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::trace {

// An expert in a router's ranking.
struct Choice {
  uint32_t expert = 0;
  float probability = 0;
};

// The tokens of one pass in one layer.
struct Visit {
  uint32_t layer = 0;
  uint32_t pass = 0;  // through the model: a chunk of the prompt, or one token of each sequence
  policy::Phase phase = policy::Phase::kDecode;
  uint32_t n_tokens = 0;
  uint64_t first = 0;  // of its choices; they are [n_tokens][n_ranked of the layer]
};

struct TraceLayer {
  uint32_t n_experts = 0;     // 0: a dense layer
  uint32_t n_active = 0;      // chosen for a token
  uint32_t n_ranked = 0;      // recorded for a token: the chosen, then near-misses
  uint64_t expert_bytes = 0;  // 0: not known
};

struct Trace {
  std::string model;
  std::string architecture;
  std::vector<TraceLayer> layers;
  std::vector<Visit> visits;  // passes ascend, and in a pass the layers
  std::vector<Choice> choices;

  // A token's experts in the order of the router.
  [[nodiscard]] std::span<const Choice> ranked(const Visit& visit, uint32_t token) const {
    const uint64_t n = layers[visit.layer].n_ranked;
    return std::span(choices).subspan(visit.first + token * n, n);
  }
};

}  // namespace plimsoll::memory::trace
