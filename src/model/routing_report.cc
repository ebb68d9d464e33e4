#include "model/routing_report.h"

#include <algorithm>

#include "model/top_k.h"

namespace plimsoll::model {
namespace {

uint32_t NearMisses(const LayerParams& params) {
  return std::min(params.n_experts_active, params.n_experts - params.n_experts_active);
}

}  // namespace

std::vector<memory::trace::TraceLayer> RoutedLayers(const HyperParams& hp) {
  std::vector<memory::trace::TraceLayer> layers;
  for (const LayerParams& params : hp.layers) {
    const uint32_t n_active = params.n_experts_active;
    layers.push_back(params.is_moe() ? memory::trace::TraceLayer{params.n_experts, n_active,
                                                                 n_active + NearMisses(params), 0}
                                     : memory::trace::TraceLayer());
  }
  return layers;
}

RoutingReport::RoutingReport(memory::trace::RoutingObserver& observer, const HyperParams& hp,
                             uint32_t max_tokens)
    : observer_(observer) {
  uint32_t n_experts = 0;
  uint32_t n_active = 0;
  for (const LayerParams& params : hp.layers) {
    n_experts = std::max(n_experts, params.n_experts);
    n_active = std::max(n_active, params.n_experts_active);
  }
  const size_t pairs = size_t{max_tokens} * n_active;
  chosen_probabilities_.resize(pairs);
  near_.resize(pairs);
  near_probabilities_.resize(pairs);
  probabilities_.resize(n_experts);
  ranked_.resize(size_t{2} * n_active);
}

// The router's probabilities, not the weights that the chosen experts' results get.
void RoutingReport::RankToken(const Step& step, const LayerParams& params, size_t token,
                              size_t n_near) {
  const Routing& routing = step.scratch.routing;
  const size_t n_active = params.n_experts_active;
  const auto probabilities = std::span(probabilities_).first(params.n_experts);
  std::ranges::copy(routing.scores.subspan(token * params.n_experts, params.n_experts),
                    probabilities.begin());
  if (step.hp.router.score == RouterScore::kSoftmaxOfChosen) {  // the scores are logits still
    step.kernels.softmax(probabilities.data(), probabilities.size());
  }
  const auto chosen = routing.chosen.subspan(token * n_active, n_active);
  for (size_t i = 0; i < n_active; ++i) {
    chosen_probabilities_[token * n_active + i] = probabilities[chosen[i]];
  }
  const auto selection = routing.selection.subspan(token * params.n_experts, params.n_experts);
  const auto ranked = std::span(ranked_).first(n_active + n_near);
  ChooseTop(selection, ranked);
  const auto behind = std::ranges::remove_if(
      ranked, [&](uint32_t id) { return std::ranges::binary_search(chosen, id); });
  const std::span<uint32_t> near(ranked.begin(), behind.begin());
  std::ranges::sort(near, [&](uint32_t a, uint32_t b) {
    return selection[a] != selection[b] ? selection[a] > selection[b] : a < b;
  });
  for (size_t i = 0; i < n_near; ++i) {
    near_[token * n_near + i] = near[i];
    near_probabilities_[token * n_near + i] = probabilities[near[i]];
  }
}

void RoutingReport::Report(const Step& step, uint32_t layer_idx) {
  const LayerParams& params = step.hp.layers[layer_idx];
  const size_t n_near = NearMisses(params);
  for (size_t token = 0; token < step.n(); ++token) {
    RankToken(step, params, token, n_near);
  }
  const size_t pairs = step.n() * params.n_experts_active;
  observer_.OnVisit({layer_idx, step.pass, step.phase(), static_cast<uint32_t>(step.n()),
                     step.scratch.routing.chosen.first(pairs),
                     std::span(chosen_probabilities_).first(pairs),
                     std::span(near_).first(step.n() * n_near),
                     std::span(near_probabilities_).first(step.n() * n_near)});
}

}  // namespace plimsoll::model
