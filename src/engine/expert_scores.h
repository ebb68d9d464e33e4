// How easily each expert of a model can be done without, by its weights alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "formats/catalogue.h"

namespace plimsoll::engine {

struct LayerScores {
  uint32_t layer_idx = 0;
  std::vector<double> scores;  // of each expert
};

struct ScoreExpertsOptions {
  uint32_t n_threads = 0;                                          // 0: one for each core
  std::function<void(uint64_t done, uint64_t total)> on_progress;  // bytes that were read
  std::function<bool()> is_stopped;
};

// AIMER (arXiv:2603.18492): of all N weights w of an expert's gate, up and down matrices, the sum
// of their magnitudes over sqrt(N * the sum of their squares). It is in (0, 1]: the higher, the
// more alike the weights are, and the more removable the expert. One whose weights are all 0, which
// does nothing, has 1. A quantized model's weights are others: score the original.
//
// The layers that have experts, ascending; the scores are the same whatever the number of threads.
// kUsage for a model without experts, kBadModel for stacks of a layer that do not go together and
// for a weight that is no number, kInterrupted when stopped, kIo.
[[nodiscard]] Result<std::vector<LayerScores>> ScoreExperts(const formats::Catalogue& catalogue,
                                                            const ScoreExpertsOptions& options);

}  // namespace plimsoll::engine
