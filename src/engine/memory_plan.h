// How a line is divided before anything is loaded, or why it is too low. The engine allocates what
// this says, and `plimsoll plan` prints it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "kv/policy/eviction.h"
#include "model/expert_layout.h"
#include "model/hyper_params.h"
#include "model/model.h"
#include "model/residence.h"

namespace plimsoll::engine {

struct MemoryPlan {
  uint64_t dense = 0;
  uint64_t vocab = 0;  // matrices and tokenizer
  uint64_t experts = 0;
  uint64_t kv = 0;
  uint64_t scratch = 0;
  uint64_t index = 0;     // tables of the policy, the pager and the packed file
  uint64_t requests = 0;  // tables of a batcher's requests, charged to the same account
  uint64_t io = 0;        // tables of the reader
  uint64_t disk = 0;      // tables and buffers of blocks of KV that are kept on a disk

  [[nodiscard]] uint64_t total() const {
    return dense + vocab + experts + kv + scratch + index + requests + io + disk;
  }
};

// What a model takes when all of it is resident, with a context of n_ctx tokens.
[[nodiscard]] MemoryPlan PlanResident(const model::ModelNeeds& needs, uint64_t tokenizer_bytes,
                                      uint32_t n_ctx);

// The experts whose frames are equally large, over all layers. A frame holds one expert: what is
// read of its gate, up and down matrices, each in whole blocks of the disk.
struct ExpertClass {
  uint64_t frame_bytes = 0;
  uint32_t n_pages = 0;   // experts
  uint32_t n_active = 0;  // the most that one layer uses for a token: they are needed together
  uint32_t n_cycle = 0;   // what all layers use for a token
};

// By frame size, ascending; empty for a model without routed experts.
[[nodiscard]] std::vector<ExpertClass> ExpertClassesOf(std::span<const model::ExpertLayer> layers,
                                                       const model::HyperParams& hp);

// Dense matrices that can be streamed: what each takes, in the order of their use.
struct StreamNeeds {
  std::vector<uint64_t> frame_bytes;
  uint64_t ring_bytes = 0;  // the least through which they stream
  // Taken only when they are: tables of the stream, and of its reader.
  uint64_t index = 0;
  uint64_t io = 0;

  [[nodiscard]] uint64_t total_bytes() const;
};
[[nodiscard]] StreamNeeds StreamNeedsOf(std::span<const model::StreamedMatrix> matrices);

// Everything that wants some of the line.
struct LineNeeds {
  model::ModelNeeds model;
  uint64_t tokenizer_bytes = 0;
  uint32_t n_ctx = 0;
  uint32_t n_parallel = 1;                       // contexts of that length at a time
  std::optional<kv::policy::Eviction> eviction;  // none: a sequence keeps everything
  uint64_t kv_beside = 0;                        // of a sequence, beside the blocks of its slots
  model::ScorerRoom scorer_room;                 // no slots: no sequence is scored
  uint64_t scorer = 0;                           // scratch of the scorer that it needs
  uint64_t importance = 0;                       // sums of an importance matrix
  std::vector<ExpertClass> experts;
  bool batches = false;         // sequences are a batcher's: their prefixes have nodes, and
  uint64_t sequence_index = 0;  // where experts are paged each has a table of this size
  // Taken only when experts are paged: tables of the policy, the pager and the packed file, and of
  // the reader.
  uint64_t index = 0;
  uint64_t io = 0;
  StreamNeeds stream;
  uint64_t disk = 0;  // as MemoryPlan::disk
};

// What a class of experts gets.
struct ExpertShare {
  uint64_t frame_bytes = 0;
  uint32_t n_pages = 0;
  uint32_t n_frames = 0;
  uint32_t n_frames_min = 0;  // with fewer nothing runs

  [[nodiscard]] uint64_t bytes() const { return frame_bytes * n_frames; }
};

using model::Residence;

// What dense matrices that are streamed get; as they take memory.
struct StreamShare {
  uint64_t total_bytes = 0;
  uint64_t kept_bytes = 0;  // of these, what stays in memory
  uint64_t ring_bytes = 0;
  uint64_t index = 0;  // its tables

  [[nodiscard]] uint64_t streamed_bytes() const { return total_bytes - kept_bytes; }
};

struct LineDivision {
  Residence residence = Residence::kAll;
  MemoryPlan parts;
  std::vector<ExpertShare> experts;  // but with kAll: as LineNeeds::experts
  StreamShare stream;                // with kStreamed
};

// Of n_frames_min frames each.
[[nodiscard]] uint64_t LeastBytes(std::span<const ExpertShare> shares);
// Frames for the shares that have n_frames_min of them: as many as `bytes` hold, each class the
// same share of its pages. Nothing when that is too little.
[[nodiscard]] std::optional<std::vector<ExpertShare>> ShareFrames(std::vector<ExpertShare> shares,
                                                                  uint64_t bytes);

// The least that runs: what takes least of kAll, kPaged with n_frames_min frames of each class, and
// kStreamed with these and nothing kept.
[[nodiscard]] LineDivision DivideLeast(const LineNeeds& needs);

// kAll when everything fits. Else kPaged, where there are experts: they get as many whole frames as
// what is left of the line holds, each class the same share of its pages, but at least
// n_frames_min; no more than its pages. Where that does not fit either, kStreamed: the experts have
// n_frames_min, and what is left keeps dense matrices, each byte of which every token would read.
// kDoesNotFit with the parts of the least that runs, the line, and what would fit.
[[nodiscard]] Result<LineDivision> DivideLine(const LineNeeds& needs, uint64_t line);

}  // namespace plimsoll::engine
