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
  // "Soon": within so many tokens.
  static constexpr uint32_t kHorizon = 3;

  explicit Forecast(const PageLayout& layout,
                    const ForecastWeights& weights = DefaultForecastWeights());
  [[nodiscard]] static uint64_t Bytes(const PageLayout& layout);

  void Visit(const LayerVisit& visit) override;
  void Admit(PageId /*page*/) override {}
  void Evict(PageId /*page*/) override {}
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override;
  void SetCapacity(uint32_t /*n_slots*/) override {}
  void Warm(std::span<const float> popularity) override { features_.Warm(popularity); }

 private:
  // What was expected when a layer's pages were scored, to be compared with what came.
  struct Expectation {
    bool made = false;
    float n_used = 0;      // pages, of those used before, that are used within the horizon
    uint32_t n_known = 0;  // pages used before
  };
  struct Layer {
    bool stale = true;  // visited since its pages were scored
    float level = 0;    // added to the score of all of its pages
    uint32_t n_visits = 0;
    std::array<Expectation, kHorizon> expectations = {};  // of the last visits, in a ring
  };

  void Score(uint32_t layer);
  void Correct(uint32_t layer);

  const PageLayout& layout_;
  ForecastWeights weights_;
  ReuseFeatures features_;
  std::vector<Layer> layers_;
  std::vector<float> scores_;  // [n_pages]
  std::vector<float> values_;  // scratch: the features of a layer's pages
  std::array<std::span<float>, kNReuseFeatures> value_of_;
  uint32_t current_layer_ = 0;
};

}  // namespace plimsoll::memory::policy
