// What a token costs where some of its experts must be read first.
//
// The bound, for one token: the sum over layers of what is always read from memory, and of the
// larger of the experts' part and what the missing ones take on the disk; everything at the
// bandwidth that was measured. Dense weights that are streamed are read in a circle, ahead of their
// use: they cost the larger of memory and disk, over all layers together. A layer's misses vary
// from token to token and a layer without any saves nothing for one with many, so the expectation
// is taken of the larger of the two, each expert missing by itself with the same probability.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/disk_speed.h"

namespace plimsoll::engine {

// A layer with routed experts.
struct ExpertWork {
  uint64_t expert_bytes = 0;  // of one
  uint64_t read_bytes = 0;    // from the disk for one: whole blocks
  uint32_t n_parts = 0;       // reads for one
  uint32_t n_experts = 0;
  uint32_t n_active = 0;
  uint64_t multiply_adds = 0;  // of one expert for a token
};

struct TokenWork {
  uint64_t dense_bytes = 0;     // of weights that every token reads: layers, output matrix
  uint64_t streamed_bytes = 0;  // of these, what every pass reads from the disk
  uint64_t kv_bytes = 0;        // that its attention reads
  uint64_t dense_multiply_adds = 0;
  uint64_t attention_multiply_adds = 0;
  std::vector<ExpertWork> experts;  // a layer that has any

  // Of all layers.
  [[nodiscard]] uint64_t active_bytes() const;
  [[nodiscard]] uint32_t n_active() const;
};

// Measured on this machine.
struct MachineSpeed {
  double memory = 0;         // bytes a second
  double multiply_adds = 0;  // a second, of weights
  double attention_multiply_adds = 0;
  io::DiskSpeed disk;
};

struct DecodeCost {
  double misses = 0;      // experts of a token that are read first
  double read_bytes = 0;  // for them, and of dense weights
  // The bound's parts. `waiting` is what reads take beyond the arithmetic that hides them.
  double dense_seconds = 0;
  double expert_seconds = 0;
  double waiting_seconds = 0;
  double disk_seconds = 0;  // with something being read; at most the sum of the last two

  [[nodiscard]] double seconds() const { return dense_seconds + expert_seconds + waiting_seconds; }
};

// How a layer's missing experts are read: bytes of one read, and reads under way.
struct ReadPattern {
  uint64_t bytes = 0;
  uint32_t depth = 0;
};
[[nodiscard]] ReadPattern ReadsOf(const ExpertWork& layer, uint32_t n_tokens, uint32_t n_missing);

// A token in the steady state, when each of its experts is missing with this probability.
[[nodiscard]] DecodeCost CostOfDecode(const TokenWork& work, const MachineSpeed& speed,
                                      double miss_ratio);

struct PrefillCost {
  uint32_t n_chunks = 0;
  double chunk_read_bytes = 0;  // of a whole chunk in the steady state
  double read_bytes = 0;        // of the whole prompt
  double compute_seconds = 0;
  double waiting_seconds = 0;

  [[nodiscard]] double seconds() const { return compute_seconds + waiting_seconds; }
};

struct PrefillShape {
  uint32_t n_tokens = 0;
  uint32_t chunk = 0;
  double resident_share = 0;  // of the experts, when a chunk comes
  bool is_cold = false;       // the first chunk finds none
};

// Every expert that a chunk's tokens choose is used once, and read once if it is missing, while
// others are computed. Tokens are taken to choose independently of one another, which is an upper
// bound of how many experts they touch.
[[nodiscard]] PrefillCost CostOfPrefill(const TokenWork& work, const MachineSpeed& speed,
                                        const PrefillShape& shape);

// What one layer of a pass did.
struct LayerPass {
  uint32_t touched = 0;  // experts that its tokens chose
  uint32_t missing = 0;  // of these, read first
};

// The least time of a pass of n tokens whose layers with experts did this, in the order of
// `work.experts`: the bound that a measured pass is held against, with the arithmetic at its peak.
[[nodiscard]] double BoundOfPass(const TokenWork& work, const MachineSpeed& speed,
                                 uint32_t n_tokens, std::span<const LayerPass> layers);

// Share of the arithmetic peak that the kernels reach on long prompts (bench/RESULTS.md: 57 to
// 70 %).
inline constexpr double kPrefillShareOfPeak = 0.6;

}  // namespace plimsoll::engine
