#include "engine/weight_streaming.h"

#include <utility>
#include <vector>

#include "base/invariant.h"

namespace plimsoll::engine {

StreamingSnapshot WeightStreaming::Snapshot() const {
  return {.total_bytes = total_bytes,
          .kept_bytes = stream->kept_bytes(),
          .stream = stream->stats(),
          .reader = stream->reader_stats()};
}

Result<std::unique_ptr<WeightStreaming>> StartStreaming(const formats::Catalogue& catalogue,
                                                        model::Model& model,
                                                        const LineDivision& division,
                                                        const PagingOptions& options,
                                                        memory::Ledger& ledger) {
  auto reader = MakeReader(options);
  if (!reader) {
    return Forward(reader);
  }
  const auto files = AddFiles(catalogue, nullptr, **reader);
  if (!files) {
    return tl::unexpected(files.error());
  }
  auto reader_memory = ledger.Reserve(memory::Account::kIo, io::kReaderTableBytes);
  Invariant(reader_memory.has_value(), "a plan that fits grants the reader's tables");
  std::vector<model::StreamedMatrix> matrices = model.Streamed();
  std::vector<memory::PagePart> pages;
  for (const model::StreamedMatrix& matrix : matrices) {
    pages.push_back({(*files)[matrix.range.file_idx], matrix.range.offset, matrix.range.bytes});
  }
  auto stream = memory::PageStream::Create(ledger, std::move(*reader), pages,
                                           {.ring_bytes = division.stream.ring_bytes});
  if (!stream) {
    return Forward(stream);
  }
  if (auto kept = (*stream)->Keep(division.stream.kept_bytes); !kept) {
    return Forward(kept);
  }
  auto streaming = std::make_unique<WeightStreaming>();
  streaming->reader_memory = std::move(*reader_memory);
  streaming->stream = std::move(*stream);
  streaming->weights =
      std::make_unique<model::StreamedWeights>(*streaming->stream, std::move(matrices));
  streaming->total_bytes = division.stream.total_bytes;
  return streaming;
}

}  // namespace plimsoll::engine
