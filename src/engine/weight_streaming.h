// Dense weights that are streamed: the reader of their files, the stream, and the model's view of
// it.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "engine/engine.h"
#include "engine/expert_paging.h"
#include "engine/memory_plan.h"
#include "formats/catalogue.h"
#include "memory/ledger.h"
#include "memory/page_stream.h"
#include "model/model.h"
#include "model/streamed_weights.h"

namespace plimsoll::engine {

// In order: what stands later uses what stands before it.
struct WeightStreaming {
  memory::Reservation reader_memory;
  std::unique_ptr<memory::PageStream> stream;
  std::unique_ptr<model::StreamedWeights> weights;
  uint64_t total_bytes = 0;  // of all pages, as they take memory

  [[nodiscard]] StreamingSnapshot Snapshot() const;
};

// Keeps what the division says, which the ledger has room for. kUsage when the way of reading is
// none, kIo when the files cannot be read. The model was loaded as kStreamed.
[[nodiscard]] Result<std::unique_ptr<WeightStreaming>> StartStreaming(
    const formats::Catalogue& catalogue, model::Model& model, const LineDivision& division,
    const PagingOptions& options, memory::Ledger& ledger);

}  // namespace plimsoll::engine
