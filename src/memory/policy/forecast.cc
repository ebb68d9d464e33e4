#include "memory/policy/forecast.h"

#include <algorithm>

namespace plimsoll::memory::policy {
namespace {

// The odds of a page whose layer comes up a whole cycle later than another's count e^0.5 times
// less: its slot stands idle until then.
constexpr float kCycleCost = 0.5F;

}  // namespace

const ForecastWeights& DefaultForecastWeights() {
  // From tools/tune_policy, in the order of ReuseFeature.
  static constexpr ForecastWeights kWeights = {1.984F, {0.245F, -0.217F, 0.322F, 0.642F}};
  return kWeights;
}

Forecast::Forecast(const PageLayout& layout, const ForecastWeights& weights)
    : layout_(layout),
      weights_(weights),
      features_(layout),
      lowest_(layout.n_layers()),
      stale_(layout.n_layers(), 1),
      scores_(layout.n_pages(), 0) {
  uint32_t widest = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    widest = std::max(widest, layout.n_pages(layer));
  }
  values_.assign(size_t{widest} * kNReuseFeatures, 0);
  for (size_t f = 0; f < kNReuseFeatures; ++f) {
    value_of_[f] = std::span(values_).subspan(f * widest, widest);
  }
}

uint64_t Forecast::Bytes(const PageLayout& layout) {
  return ReuseFeatures::Bytes(layout) + uint64_t{layout.n_pages()} * sizeof(float) +
         layout.n_layers() * (sizeof(Lowest) + 1);
}

void Forecast::Visit(const LayerVisit& visit) {
  features_.Visit(visit);
  stale_[visit.layer] = 1;
  ForgetLowest(visit.layer);
  ForgetLowest(current_layer_);  // what the layer before had pinned is free now
  current_layer_ = visit.layer;
}

void Forecast::Score(uint32_t layer) {
  features_.Describe(layer, value_of_);
  const uint32_t n = layout_.n_pages(layer);
  const auto scores = std::span(scores_).subspan(layout_.begin(layer), n);
  std::ranges::fill(scores, weights_.bias);
  for (size_t f = 0; f < kNReuseFeatures; ++f) {
    const float weight = weights_.features[f];
    for (uint32_t i = 0; i < n; ++i) {
      scores[i] += weight * value_of_[f][i];
    }
  }
  stale_[layer] = 0;
}

void Forecast::FindLowest(uint32_t layer, const PageSet& candidates) {
  const uint32_t begin = layout_.begin(layer);
  Lowest lowest;
  candidates.ForEachIn(begin, begin + layout_.n_pages(layer), [&](PageId page) {
    const float score = scores_[page.value];
    if (!lowest.page || score < lowest.score) {
      lowest.page = page;
      lowest.score = score;
    }
  });
  lowest_[layer] = lowest;
}

// Pages are scored when a victim is wanted: while all fits, nothing is.
std::optional<PageId> Forecast::ChooseVictim(std::optional<PageId> /*incoming*/,
                                             const PageSet& candidates) {
  const uint32_t n_layers = layout_.n_layers();
  std::optional<PageId> victim;
  float victim_score = 0;
  for (uint32_t layer = 0; layer < n_layers; ++layer) {
    if (stale_[layer] != 0) {
      Score(layer);
    }
    const Lowest& lowest = lowest_[layer];
    if (!lowest.page || !candidates.Contains(*lowest.page)) {
      FindLowest(layer, candidates);
    }
    if (!lowest.page) {
      continue;
    }
    const uint32_t layers_until = (layer + n_layers - current_layer_ - 1) % n_layers;
    const float score =
        lowest.score - kCycleCost * static_cast<float>(layers_until) / static_cast<float>(n_layers);
    if (!victim || score < victim_score) {
      victim = lowest.page;
      victim_score = score;
    }
  }
  return victim;
}

}  // namespace plimsoll::memory::policy
