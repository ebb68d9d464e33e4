// Requests that arrive over time: what a scheduler is tried on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::sim {

// Tokens of a prompt: two segments with the same seed begin alike.
struct Segment {
  uint64_t seed = 0;
  uint32_t n_tokens = 0;
};

struct Arrival {
  double seconds = 0;  // since the start
  std::string client;  // who asks
  std::vector<Segment> prompt;
  uint32_t n_output = 0;

  [[nodiscard]] uint32_t n_prompt() const;
};

using Arrivals = std::vector<Arrival>;  // by time

// Made from a seed, for a machine that serves `per_second` of such requests when there are always
// some that wait:
// "steady"  one kind of request, at 70 % of that
// "bursty"  the same, half of them in bursts of twenty
// "mixed"   short chats, long prompts with short answers, and long answers, 10 % more than that
// "shared"  ten long system prompts of unlike popularity, each followed by a short question, at 90
// % kUsage for another name.
[[nodiscard]] Result<Arrivals> MakeArrivals(std::string_view kind, uint64_t seed, uint32_t n,
                                            double per_second);
[[nodiscard]] const std::vector<std::string_view>& ArrivalKinds();

// The published form of Mooncake's traces (github.com/kvcache-ai/Mooncake, FAST25-release): a JSON
// object a line with timestamp (ms), input_length, output_length and hash_ids, one for each 512
// tokens of the prompt, the same for the same beginning. The first `n_max` of them; lengths are
// divided by `divisor`, and so are the times between arrivals. kBadModel names the line.
[[nodiscard]] Result<Arrivals> ReadMooncake(const std::filesystem::path& path, uint32_t n_max,
                                            uint32_t divisor);

}  // namespace plimsoll::sim
