// Opens a model so that it fits the line: with the longest chunks of a prompt that leave room for
// the rest.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/result.h"
#include "engine/importance_recorder.h"
#include "engine/memory_plan.h"
#include "formats/catalogue.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/policy/policy_options.h"
#include "model/model.h"

namespace plimsoll::engine {

// Chunks are shortened down to this before a line is refused: that costs speed only.
inline constexpr uint32_t kShortestChunk = 32;
inline constexpr uint32_t kDefaultContext = 4096;

// A turn of a chat: what the length of chunks is chosen for.
inline constexpr uint32_t kTurnPrompt = 1024;
inline constexpr uint32_t kTurnAnswer = 256;

// What a turn is expected to read from the disk where weights are paged: every chunk of its prompt
// reads the missing experts once, and every token of its answer those that it misses; both read the
// dense weights that are streamed. A longer
// chunk saves on the first and takes frames for its scratch memory, which costs on the second. By
// the typical miss curve (miss_curve.h), whatever is known of the model: so that what fits a line,
// and the line's smallest chunk, do not change from run to run.
[[nodiscard]] double ReadBytesOfTurn(const LineDivision& division,
                                     std::span<const ExpertClass> experts, uint32_t chunk);

struct FitOptions {
  uint32_t n_ctx = 0;  // 0: the model's, up to kDefaultContext
  uint32_t n_parallel = 1;
  uint32_t prefill_chunk = 512;
  bool batches = false;  // as EngineOptions
  const kernels::KernelSet* kernels = nullptr;
  const formats::packed::PackedFile* packed = nullptr;  // null: none is used
  kv::Precision kv;
  kv::policy::PolicyOptions kv_policy;
  uint64_t kv_disk_bytes = 0;  // EngineOptions::kv_disk
  std::optional<ImportanceOptions> importance;
};

struct FittedModel {
  std::unique_ptr<model::Model> model;
  LineNeeds needs;
  LineDivision division;
};

// What the model wants of a line, with the chunk it was opened with. kBadModel as
// Model::ExpertLayers.
[[nodiscard]] Result<LineNeeds> LineNeedsOf(model::Model& model, uint64_t tokenizer_bytes,
                                            uint32_t n_ctx);

// Nothing big is allocated, no weight is read. All of the model stays in memory if that is possible
// with any chunk; else its experts are paged, with the chunk that reads least (ReadBytesOfTurn).
// kDoesNotFit as DivideLine. `catalogue` and `team`
// outlive the model.
[[nodiscard]] Result<FittedModel> OpenToFit(const formats::Catalogue& catalogue,
                                            kernels::Team& team, const FitOptions& options,
                                            uint64_t tokenizer_bytes, uint64_t line);

}  // namespace plimsoll::engine
