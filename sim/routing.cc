#include "sim/routing.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace plimsoll::sim {
namespace {

constexpr uint64_t kRouting = 1;  // stream of draws

}  // namespace

Routing::Routing(const Scenario& scenario, uint64_t seed)
    : scenario_(scenario), draws_(seed, kRouting), popularity_(scenario.n_layers) {
  for (std::vector<float>& layer : popularity_) {
    for (uint32_t i = 0; i < scenario.n_experts; ++i) {
      layer.push_back(static_cast<float>(-scenario.zipf * std::log(i + 1.0)));
    }
  }
  ChangeTopic(1);
}

void Routing::ChangeTopic(double share) {
  for (std::vector<float>& layer : popularity_) {
    for (float& popularity : layer) {
      if (draws_.Chance(share)) {
        std::swap(popularity, layer[draws_.Index(layer.size())]);
      }
    }
  }
}

// The k largest of logarithm plus Gumbel noise are k draws without replacement (Efraimidis and
// Spirakis, "Weighted random sampling with a reservoir", 2006).
void Routing::RankToken(uint32_t layer) {
  const std::vector<float>& popularity = popularity_[layer];
  score_.resize(popularity.size());
  for (size_t i = 0; i < popularity.size(); ++i) {
    const double noise = -std::log(-std::log(draws_.Uniform() + 1e-12) + 1e-12);
    score_[i] = popularity[i] + static_cast<float>(noise);
  }
  ranked_.resize(popularity.size());
  std::iota(ranked_.begin(), ranked_.end(), 0U);
  std::ranges::sort(ranked_, [this](uint32_t a, uint32_t b) { return score_[a] > score_[b]; });
}

memory::policy::LayerVisit Routing::Visit(uint32_t layer, uint32_t n_tokens,
                                          memory::policy::Phase phase) {
  const uint32_t n_active = scenario_.n_active;
  const uint32_t n_near = std::min(n_active, scenario_.n_experts - n_active);
  experts_.clear();
  probabilities_.clear();
  near_experts_.clear();
  near_probabilities_.clear();
  for (uint32_t token = 0; token < n_tokens; ++token) {
    RankToken(layer);
    for (uint32_t i = 0; i < n_active + n_near; ++i) {
      const float probability = 0.5F / static_cast<float>(i + 1);
      (i < n_active ? experts_ : near_experts_).push_back(ranked_[i]);
      (i < n_active ? probabilities_ : near_probabilities_).push_back(probability);
    }
  }
  return {.layer = layer,
          .step = step_,
          .phase = phase,
          .n_tokens = n_tokens,
          .experts = experts_,
          .probabilities = probabilities_,
          .near_experts = near_experts_,
          .near_probabilities = near_probabilities_};
}

std::vector<uint32_t> Routing::Guess(uint32_t layer, uint32_t n) const {
  std::vector<uint32_t> experts(scenario_.n_experts);
  std::iota(experts.begin(), experts.end(), 0U);
  const std::vector<float>& popularity = popularity_[layer];
  std::ranges::sort(experts, [&](uint32_t a, uint32_t b) { return popularity[a] > popularity[b]; });
  experts.resize(std::min<size_t>(n, experts.size()));
  return experts;
}

}  // namespace plimsoll::sim
