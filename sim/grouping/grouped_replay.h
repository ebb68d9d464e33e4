// Sequences that decode in groups, through the eviction policy that the engine has.
#pragma once

#include <cstdint>
#include <string>

#include "engine/cost_model.h"
#include "engine/order/decode_groups.h"
#include "sim/grouping/workload.h"

namespace plimsoll::sim {

enum class GroupBy : uint8_t {
  kTogether,     // all in every step
  kArrival,      // groups of a fixed size, whoever comes next
  kOverlap,      // the same of those whose experts of late overlap most
  kFuture,       // the same of those whose experts of the coming turn overlap most
  kExpertUnion,  // what the server does (engine/order/decode_turns.h)
};

struct GroupedOptions {
  GroupBy by = GroupBy::kTogether;
  uint32_t group = 1;       // sequences
  uint32_t turn_steps = 1;  // of a group
  uint32_t n_slots = 1;
  uint32_t n_tokens = 128;  // counted, of each sequence; before them half as many that are not
  engine::order::TurnLimits limits;
};

struct GroupedReport {
  double misses_per_token = 0;
  double used_per_token = 0;     // experts, each once a step
  double seconds_per_token = 0;  // of all sequences together
  double grouped_share = 0;      // of the tokens, that were not computed with all together
  double longest_still = 0;      // seconds that a sequence stood still
};

[[nodiscard]] GroupedReport ReplayInGroups(const Workload& workload, const engine::TokenWork& work,
                                           const engine::MachineSpeed& speed,
                                           const GroupedOptions& options);

}  // namespace plimsoll::sim
