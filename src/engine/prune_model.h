// A model with fewer experts: of every layer those go that can best be done without, with their
// rows of the router. It is smaller, reads less that is not in memory, and says something else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "engine/prune_plan.h"

namespace plimsoll::engine {

struct PruneModelOptions {
  std::filesystem::path model;   // a GGUF, or a folder of safetensors
  std::filesystem::path output;  // a GGUF
  // The model whose experts are scored, of which `model` is another form; none: `model` itself.
  std::optional<std::filesystem::path> scored;
  double ratio = 0.25;     // of a layer's experts that go
  bool replaces = false;   // a file that is there under the output's name
  uint32_t n_threads = 0;  // 0: one for each core
  // Bytes that were read: first of what is scored, then of what is written.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
  std::function<bool()> is_stopped;
};

struct PrunedModel {
  std::vector<LayerPruning> layers;
  bool is_quantized = false;  // what was scored
  uint64_t bytes_before = 0;  // of the tensors
  uint64_t bytes = 0;         // of the tensors
};

// The output has its name when all of it is on the disk, and not before; else it is not there.
// Weights that stay keep their bits. kUsage as PlanPruning, for a model without experts, an output
// that is there already or that is the model. kBadModel as the architecture and ScoreExperts, for a
// scored model with other layers or numbers of experts, and for a tensor that does not have a part
// for each expert. kInterrupted when it was stopped. kIo, also for want of room.
[[nodiscard]] Result<PrunedModel> PruneModel(const PruneModelOptions& options);

}  // namespace plimsoll::engine
