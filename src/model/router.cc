// The router: which experts each token goes to, and how much each counts.
#include <algorithm>
#include <utility>

#include "model/expert_choice.h"
#include "model/layer_pieces.h"
#include "model/products.h"
#include "model/routing_report.h"

namespace plimsoll::model {

void LayerPieces::Route(const FeedForwardWeights& weights) {
  if (error_) {
    return;
  }
  const LayerParams& p = params();
  Routing& routing = step_.scratch.routing;
  if (!HasRouted(weights)) {
    routing.n_active = 0;
    routing.active_begin[0] = 0;
    return;
  }
  if (p.is_moe()) {
    const Product product = {weights.router,
                             step_.scratch.packed_in.For(weights.router.dtype, 0, step_.n()),
                             routing.scores.data(), p.n_experts};
    RunProducts(step_, {&product, 1});
    step_.ForEachToken([&](size_t i) { ChooseExpertsOf(weights, i); });
    if (step_.report != nullptr) {
      step_.report->Report(step_, layer_idx_);
    }
  } else {
    std::fill_n(routing.chosen.begin(), step_.n(), 0U);
    std::fill_n(routing.chosen_weights.begin(), step_.n(), 1.0F);
  }
  GroupPairs();
}

void LayerPieces::ChooseExpertsOf(const FeedForwardWeights& weights, size_t token) {
  const LayerParams& p = params();
  const RouterParams& router = step_.hp.router;
  const Routing& routing = step_.scratch.routing;
  const auto logits = routing.scores.subspan(token * p.n_experts, p.n_experts);
  if (router.logit_scale != 1.0F) {
    std::ranges::for_each(logits, [&](float& logit) { logit *= router.logit_scale; });
  }
  if (!weights.router_bias.empty()) {
    step_.kernels.add(weights.router_bias.data(), p.n_experts, logits.data());
  }
  const ChoiceSpace space = {
      routing.selection.subspan(token * p.n_experts, p.n_experts),
      routing.group_scores.subspan(token * router.n_groups, router.n_groups),
      routing.groups.subspan(token * router.n_groups_used, router.n_groups_used)};
  ChooseExperts(step_.kernels, router, weights.selection_bias, logits, space,
                routing.chosen.subspan(token * p.n_experts_active, p.n_experts_active),
                routing.chosen_weights.subspan(token * p.n_experts_active, p.n_experts_active));
  for (uint32_t i = 0; !weights.expert_scales.empty() && i < p.n_experts_active; ++i) {
    const size_t at = token * p.n_experts_active + i;
    routing.chosen_weights[at] *= weights.expert_scales[routing.chosen[at]];
  }
}

// A counting sort by expert; it keeps the tokens of an expert in order.
void LayerPieces::GroupPairs() {
  const LayerParams& p = params();
  Routing& routing = step_.scratch.routing;
  const size_t n_pairs = step_.n() * p.n_experts_active;
  const auto counts = routing.counts.first(p.n_experts);
  std::ranges::fill(counts, 0U);
  for (size_t i = 0; i < n_pairs; ++i) {
    ++counts[routing.chosen[i]];
  }
  uint32_t begin = 0;
  routing.n_active = 0;
  for (uint32_t id = 0; id < p.n_experts; ++id) {
    const uint32_t count = counts[id];
    if (count != 0) {
      routing.active[routing.n_active] = id;
      routing.active_begin[routing.n_active++] = begin;
    }
    counts[id] = begin;  // from here on: where the expert's next pair goes
    begin += count;
  }
  routing.active_begin[routing.n_active] = begin;
  for (size_t i = 0; i < n_pairs; ++i) {
    const uint32_t at = counts[routing.chosen[i]]++;
    routing.pair_token[at] = static_cast<uint32_t>(i / p.n_experts_active);
    routing.pair_weight[at] = routing.chosen_weights[i];
    if (step_.hp.router.weighs_input) {
      routing.pair_input_weight[at] = std::exchange(routing.pair_weight[at], 1.0F);
    }
  }
}

}  // namespace plimsoll::model
