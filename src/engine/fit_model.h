// Opens a model so that it fits the line: with the longest chunks of a prompt that leave room for
// the rest.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "engine/memory_plan.h"
#include "formats/catalogue.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "model/model.h"

namespace plimsoll::engine {

// Chunks are shortened down to this before a line is refused: that costs speed only.
inline constexpr uint32_t kShortestChunk = 32;
inline constexpr uint32_t kDefaultContext = 4096;
// Where experts are paged, a chunk's scratch memory is at most this share of what it and they have
// together: a longer chunk reads missing experts for more tokens at once, but its memory is lost
// to decoding. A prompt's reads halve with each doubling, a few percent of the frames are worth as
// many percent of the misses.
inline constexpr double kScratchShareMax = 1.0 / 8;

struct FitOptions {
  uint32_t n_ctx = 0;  // 0: the model's, up to kDefaultContext
  uint32_t prefill_chunk = 512;
  const kernels::KernelSet* kernels = nullptr;
  const formats::packed::PackedFile* packed = nullptr;  // null: none is used
};

struct FittedModel {
  std::unique_ptr<model::Model> model;
  LineNeeds needs;
  LineDivision division;
};

// What the model wants of a line, with the chunk it was opened with. kBadModel as
// Model::ExpertLayers.
[[nodiscard]] Result<LineNeeds> LineNeedsOf(const model::Model& model, uint64_t tokenizer_bytes,
                                            uint32_t n_ctx);

// Nothing big is allocated, no weight is read. All of the model stays in memory if that is possible
// with any chunk; else its experts are paged. kDoesNotFit as DivideLine. `catalogue` and `team`
// outlive the model.
[[nodiscard]] Result<FittedModel> OpenToFit(const formats::Catalogue& catalogue,
                                            kernels::Team& team, const FitOptions& options,
                                            uint64_t tokenizer_bytes, uint64_t line);

}  // namespace plimsoll::engine
