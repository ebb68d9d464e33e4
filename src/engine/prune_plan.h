// Which experts of a model stay when it is pruned.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/expert_scores.h"

namespace plimsoll::engine {

// Of each layer.
struct ExpertCounts {
  uint32_t n_experts = 0;
  uint32_t n_active = 0;  // chosen for a token
  // Of neighbouring ids; tokens choose from n_groups_used of them. 1: no groups.
  uint32_t n_groups = 1;
  uint32_t n_groups_used = 1;
};

struct LayerPruning {
  uint32_t layer_idx = 0;
  std::vector<double> scores;     // of each expert: ScoreExperts
  std::vector<uint32_t> kept;     // ascending
  std::vector<uint32_t> removed;  // ascending
};

// Of every layer the same number goes, that with the highest scores: `ratio` of its experts,
// rounded down; of every group as many where there are groups. kUsage where nothing would go, or
// less would stay than tokens choose from; kBadModel for layers with other numbers of experts.
[[nodiscard]] Result<std::vector<LayerPruning>> PlanPruning(const std::vector<LayerScores>& layers,
                                                            const ExpertCounts& counts,
                                                            double ratio);

}  // namespace plimsoll::engine
