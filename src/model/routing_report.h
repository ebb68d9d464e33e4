// Tells an observer what the routers choose, with the experts ranked just behind.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/trace/routing_observer.h"
#include "memory/trace/trace.h"
#include "model/hyper_params.h"
#include "model/step.h"

namespace plimsoll::model {

// What a trace of the model has of each layer: as many near-misses as chosen experts, where there
// are so many. `expert_bytes` is left 0.
[[nodiscard]] std::vector<memory::trace::TraceLayer> RoutedLayers(const HyperParams& hp);

// Not thread-safe. Allocates when it is made and never after.
class RoutingReport {
 public:
  // `observer` outlives the report.
  RoutingReport(memory::trace::RoutingObserver& observer, const HyperParams& hp,
                uint32_t max_tokens);

  // The choice that stands in the step's scratch memory.
  void Report(const Step& step, uint32_t layer_idx);

 private:
  void RankToken(const Step& step, const LayerParams& params, size_t token, size_t n_near);

  memory::trace::RoutingObserver& observer_;
  std::vector<float> chosen_probabilities_;  // [n][n_experts_active]
  std::vector<uint32_t> near_;               // [n][n_near]
  std::vector<float> near_probabilities_;
  std::vector<float> probabilities_;  // of one token, [n_experts]
  std::vector<uint32_t> ranked_;      // of one token
};

}  // namespace plimsoll::model
