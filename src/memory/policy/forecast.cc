#include "memory/policy/forecast.h"

#include <algorithm>
#include <limits>

#include "memory/policy/fast_math.h"

namespace plimsoll::memory::policy {
namespace {

// How much of a layer's mean error goes into its level, a visit.
constexpr float kLevelRate = 0.02F;
// A page whose layer comes up a whole cycle later than another's is worth e^0.7 times less.
constexpr float kCycleCost = 0.7F;

float Sigmoid(float x) { return 1 / (1 + FastExp(-x)); }

}  // namespace

const ForecastWeights& DefaultForecastWeights() {
  // From tools/tune_policy, in the order of ReuseFeature.
  static constexpr ForecastWeights kWeights = {
      1.594F, {-0.183F, 0.172F, 0.133F, -0.331F, 0.282F, 0.418F, 0.308F}};
  return kWeights;
}

Forecast::Forecast(const PageLayout& layout, const ForecastWeights& weights)
    : layout_(layout),
      weights_(weights),
      features_(layout),
      layers_(layout.n_layers()),
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
         uint64_t{layout.n_layers()} * sizeof(Layer);
}

void Forecast::Visit(const LayerVisit& visit) {
  features_.Visit(visit);
  Layer& layer = layers_[visit.layer];
  if (visit.phase == Phase::kDecode) {
    Correct(visit.layer);
  } else {
    layer.expectations = {};  // a prompt is not what was expected of decoding
  }
  ++layer.n_visits;
  layer.stale = true;
  current_layer_ = visit.layer;
}

// Compares what was expected kHorizon visits ago with what has been used since.
void Forecast::Correct(uint32_t index) {
  Layer& layer = layers_[index];
  Expectation& then = layer.expectations[layer.n_visits % kHorizon];
  if (then.made && then.n_known > 0) {
    const uint32_t n_new = features_.n_used(index) - then.n_known;
    const auto n_used = static_cast<float>(features_.CountUsedWithin(index, kHorizon) - n_new);
    layer.level += kLevelRate * (n_used - then.n_used) / static_cast<float>(then.n_known);
  }
  then = {};
}

// Only layers that have to give a page are scored: while all fits, nothing is.
void Forecast::Score(uint32_t index) {
  Layer& layer = layers_[index];
  features_.Describe(index, value_of_);
  const uint32_t n = layout_.n_pages(index);
  const auto scores = std::span(scores_).subspan(layout_.begin(index), n);
  std::ranges::fill(scores, weights_.bias + layer.level);
  for (size_t f = 0; f < kNReuseFeatures; ++f) {
    const float weight = weights_.features[f];
    for (uint32_t i = 0; i < n; ++i) {
      scores[i] += weight * value_of_[f][i];
    }
  }
  Expectation expectation = {layer.n_visits > 0, 0, features_.n_used(index)};
  for (uint32_t i = 0; i < n; ++i) {
    const PageId page = layout_.page(index, i);
    expectation.n_used += features_.Age(page) == ReuseFeatures::kNever ? 0 : Sigmoid(scores[i]);
  }
  if (layer.n_visits > 0) {
    layer.expectations[(layer.n_visits - 1) % kHorizon] = expectation;
  }
  layer.stale = false;
}

std::optional<PageId> Forecast::ChooseVictim(std::optional<PageId> /*incoming*/,
                                             const PageSet& candidates) {
  const uint32_t n_layers = layout_.n_layers();
  std::optional<PageId> victim;
  float lowest = std::numeric_limits<float>::infinity();
  for (uint32_t index = 0; index < n_layers; ++index) {
    if (layers_[index].stale) {
      Score(index);
    }
    const uint32_t layers_until = (index + n_layers - current_layer_ - 1) % n_layers;
    const float cost = kCycleCost * static_cast<float>(layers_until) / static_cast<float>(n_layers);
    const uint32_t begin = layout_.begin(index);
    candidates.ForEachIn(begin, begin + layout_.n_pages(index), [&](PageId page) {
      const float score = scores_[page.value] - cost;
      if (!victim || score < lowest) {
        victim = page;
        lowest = score;
      }
    });
  }
  return victim;
}

}  // namespace plimsoll::memory::policy
