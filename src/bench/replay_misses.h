// What was missing in each layer of each pass of a recorded run, for the default policy and for
// Belady's optimum.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/timing.h"
#include "engine/cost_model.h"
#include "memory/trace/trace.h"

namespace plimsoll::bench {

class ReplayedMisses {
 public:
  // With so many frames, from the trace's first pass on.
  ReplayedMisses(const memory::trace::Trace& trace, uint32_t n_frames);

  // The bound of these passes together; `work` of a token in their middle.
  [[nodiscard]] double BoundOf(const PassRange& passes, const engine::TokenWork& work,
                               const engine::MachineSpeed& speed) const;
  [[nodiscard]] uint64_t MissesOf(const PassRange& passes) const;
  // Of the experts that these passes chose, those that were missing; 0 without any.
  [[nodiscard]] double MissRatioOf(const PassRange& passes) const;
  [[nodiscard]] uint64_t BeladyMissesOf(const PassRange& passes) const;
  [[nodiscard]] uint64_t n_decoded() const { return n_decoded_; }  // passes of one token

 private:
  struct Pass {
    uint32_t n_tokens = 0;
    uint64_t belady_misses = 0;
    std::vector<engine::LayerPass> layers;  // that have experts
  };

  std::vector<Pass> passes_;
  uint64_t n_decoded_ = 0;
};

}  // namespace plimsoll::bench
