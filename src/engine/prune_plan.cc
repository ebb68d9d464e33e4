#include "engine/prune_plan.h"

#include <algorithm>
#include <numeric>

namespace plimsoll::engine {
namespace {

// Groups of which one expert is left make routers that rank them by their best two senseless.
constexpr uint32_t kLeastOfGroup = 2;

// Of the experts [first, first + n); those of equal scores stay in the order of their ids.
void RemoveFlattest(LayerPruning& layer, uint32_t first, uint32_t n, uint32_t n_removed) {
  std::vector<uint32_t> ids(n);
  std::iota(ids.begin(), ids.end(), first);
  std::ranges::stable_sort(
      ids, [&layer](uint32_t a, uint32_t b) { return layer.scores[a] < layer.scores[b]; });
  layer.kept.insert(layer.kept.end(), ids.begin(), ids.end() - n_removed);
  layer.removed.insert(layer.removed.end(), ids.end() - n_removed, ids.end());
}

Result<> CheckWhatStays(const ExpertCounts& counts, uint32_t group, uint32_t n_removed) {
  if (n_removed == 0) {
    return Fail(ErrorKind::kUsage, "no expert would go: there are {} in a {}, of which {}", group,
                counts.n_groups == 1 ? "layer" : "group", "the ratio takes less than one");
  }
  const uint32_t left = group - n_removed;
  if (counts.n_groups > 1 && left < kLeastOfGroup) {
    return Fail(ErrorKind::kUsage, "of {} experts in a group {} would stay; there must be {}",
                group, left, kLeastOfGroup);
  }
  if (uint64_t{left} * counts.n_groups_used < counts.n_active) {
    return Fail(ErrorKind::kUsage, "a token uses {} experts of a layer, and {} would stay{}",
                counts.n_active, uint64_t{left} * counts.n_groups_used,
                counts.n_groups == 1 ? "" : " in the groups that it chooses from");
  }
  return {};
}

}  // namespace

Result<std::vector<LayerPruning>> PlanPruning(const std::vector<LayerScores>& layers,
                                              const ExpertCounts& counts, double ratio) {
  const uint32_t group = counts.n_experts / counts.n_groups;
  const auto n_removed = static_cast<uint32_t>(ratio * group);
  if (auto checked = CheckWhatStays(counts, group, n_removed); !checked) {
    return Forward(checked);
  }
  std::vector<LayerPruning> plan;
  for (const LayerScores& scored : layers) {
    if (scored.scores.size() != counts.n_experts) {
      return Fail(ErrorKind::kBadModel, "layer {} has {} experts, and the model says {}",
                  scored.layer_idx, scored.scores.size(), counts.n_experts);
    }
    LayerPruning layer = {
        .layer_idx = scored.layer_idx, .scores = scored.scores, .kept = {}, .removed = {}};
    for (uint32_t first = 0; first < counts.n_experts; first += group) {
      RemoveFlattest(layer, first, group, n_removed);
    }
    std::ranges::sort(layer.kept);
    std::ranges::sort(layer.removed);
    plan.push_back(std::move(layer));
  }
  return plan;
}

}  // namespace plimsoll::engine
