// A prefix tree without a model: what a trace of prompts would have cost.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/prefix/prefix_tree.h"

namespace plimsoll::engine::prefix {

// Of one request: it goes on with `answer`, whatever a model would have said.
struct TraceRequest {
  uint64_t time_us = 0;  // ascending
  std::vector<TokenId> prompt;
  std::vector<TokenId> answer;
};

// Conversations that begin with one of several system prompts, which are not equally popular.
struct SharedPrefixTraffic {
  uint64_t seed = 1;
  uint32_t n_conversations = 1000;
  double conversations_per_second = 0.2;
  uint32_t n_systems = 40;
  double skew = 1;                // the k-th system prompt is chosen in proportion to 1 / k^skew
  uint32_t system_tokens = 1000;  // mean; half to one and a half times as many
  double turns = 3;               // mean, geometric
  double seconds_between_turns = 60;
  uint32_t question_tokens = 80;  // mean
  uint32_t answer_tokens = 150;   // mean
};

// A function of the numbers alone.
[[nodiscard]] std::vector<TraceRequest> DrawTraffic(const SharedPrefixTraffic& traffic);

struct ReplayCost {
  uint64_t prompt_tokens = 0;
  uint64_t computed_tokens = 0;  // of them
  double computed_seconds = 0;   // by options.ways_back
  uint64_t n_evicted = 0;
};

// One request after the other, with a pool of so many blocks; each request alone fits into it.
[[nodiscard]] ReplayCost ReplayTrace(std::span<const TraceRequest> requests, uint32_t n_blocks,
                                     const PrefixTreeOptions& options);

}  // namespace plimsoll::engine::prefix
