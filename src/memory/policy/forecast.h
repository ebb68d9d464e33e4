// The default policy: evicts the page that is least likely to be used again soon.
//
// A page's chance to be used within the next tokens is a logistic function of a few features
// (reuse_features.h) whose weights were fitted to recorded routing. Every page competes with every
// other, so a layer's share of the slots follows from what its pages are worth; each layer's level
// is corrected as the run shows that it was over- or underestimated. docs/paging.md, "Policies",
// has the measurements behind each part.
//
// Learning which page to keep from what a relaxed optimum would have kept: Song, Berger, Li, Lloyd,
// "Learning relaxed Belady for content distribution network caching", NSDI 2020.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "memory/policy/policy.h"
#include "memory/policy/reuse_features.h"

namespace plimsoll::memory::policy {

struct ForecastWeights {
  float bias = 0;
  std::array<float, kNReuseFeatures> features = {};
};
// Fitted to all of the traces of docs/paging.md.
[[nodiscard]] const ForecastWeights& DefaultForecastWeights();

class Forecast final : public Policy {
 public:
  // "Soon", to which the weights are fitted: within so many tokens.
  static constexpr uint32_t kHorizon = 3;

  explicit Forecast(const PageLayout& layout,
                    const ForecastWeights& weights = DefaultForecastWeights());
  [[nodiscard]] static uint64_t Bytes(const PageLayout& layout);

  void Visit(const LayerVisit& visit) override;
  void Admit(PageId page) override { ForgetLowest(layout_.layer_of(page)); }
  void Evict(PageId page) override { ForgetLowest(layout_.layer_of(page)); }
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override;
  void SetCapacity(uint32_t /*n_slots*/) override {}
  void Warm(std::span<const float> popularity) override { features_.Warm(popularity); }

 private:
  // The candidate of a layer with the lowest score, as it was found last. It stands until the layer
  // is visited, gains or loses a page, or the page is no candidate any more; a page that another
  // user unpins meanwhile is not missed for longer than that.
  struct Lowest {
    std::optional<PageId> page;
    float score = 0;
  };

  void ForgetLowest(uint32_t layer) { lowest_[layer].page.reset(); }
  void Score(uint32_t layer);
  void FindLowest(uint32_t layer, const PageSet& candidates);

  const PageLayout& layout_;
  ForecastWeights weights_;
  ReuseFeatures features_;
  std::vector<Lowest> lowest_;  // [n_layers]
  std::vector<uint8_t> stale_;  // [n_layers]: visited since its pages were scored
  std::vector<float> scores_;   // [n_pages]
  std::vector<float> values_;   // scratch: the features of a layer's pages
  std::array<std::span<float>, kNReuseFeatures> value_of_;
  uint32_t current_layer_ = 0;
};

}  // namespace plimsoll::memory::policy
