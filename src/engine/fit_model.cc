#include "engine/fit_model.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/checked.h"
#include "engine/kv_eviction.h"
#include "engine/miss_curve.h"
#include "engine/order/decode_turns.h"
#include "formats/packed/packed_file.h"
#include "kv/store/block_store.h"
#include "memory/policy/forecast.h"
#include "memory/policy/layer_pairs.h"

namespace plimsoll::engine {
namespace {

// The pager's own tables: a page's state, frame, place in the files and waiters.
constexpr uint64_t kPagerBytesAPage = 128;

memory::policy::PageLayout LayoutOf(std::span<const model::ExpertLayer> layers) {
  std::vector<uint32_t> n_pages;
  for (const model::ExpertLayer& layer : layers) {
    n_pages.push_back(layer.n_experts);
  }
  return memory::policy::PageLayout(n_pages);
}

uint64_t IndexBytes(const memory::policy::PageLayout& layout) {
  return memory::policy::Forecast::Bytes(layout) + memory::policy::LayerPairs::Bytes(layout) +
         layout.n_pages() * kPagerBytesAPage;
}

Result<FittedModel> OpenWithChunk(const formats::Catalogue& catalogue, kernels::Team& team,
                                  const FitOptions& options, uint64_t tokenizer_bytes,
                                  uint32_t chunk) {
  auto model = model::Model::Open(catalogue, team,
                                  {.max_chunk = chunk,
                                   .n_ctx = options.n_ctx != 0 ? options.n_ctx : kDefaultContext,
                                   .kernels = options.kernels,
                                   .packed = options.packed,
                                   .kv = options.kv});
  if (!model) {
    return Forward(model);
  }
  const uint32_t n_ctx = options.n_ctx != 0
                             ? options.n_ctx
                             : std::min((*model)->hyper_params().n_ctx_train, kDefaultContext);
  auto needs = LineNeedsOf(**model, tokenizer_bytes, n_ctx);
  if (!needs) {
    return Forward(needs);
  }
  needs->n_parallel = options.n_parallel;
  needs->batches = options.batches;
  auto eviction = EvictionFor(options.kv_policy, **model, n_ctx);
  if (!eviction) {
    return tl::unexpected(eviction.error().ForCommandLine());
  }
  needs->eviction = *eviction;
  const kv::BlockLayout layout = (*model)->KvLayout();
  needs->kv_beside =
      (kv::policy::BlocksBeside(layout, needs->eviction) + kv::BlocksOfStates(layout)) *
      layout.block_bytes();
  needs->scorer_room = ScorerRoomFor(needs->eviction);
  if (needs->scorer_room.max_slots > 0) {
    needs->scorer = (*model)->ScorerBytes(needs->scorer_room);
  }
  if (options.importance) {
    needs->importance = ImportanceRecorder::Bytes(RecordedInputs(**model, *options.importance));
  }
  if (options.packed != nullptr && !needs->experts.empty()) {
    needs->index += options.packed->memory_bytes();
  }
  if (options.kv_disk_bytes > 0) {
    const uint64_t block_bytes = layout.block_bytes();
    needs->disk = kv::BlockStore::TableBytes(options.kv_disk_bytes, block_bytes) +
                  kv::BlockStore::BufferBytes(block_bytes);
  }
  return FittedModel{std::move(*model), std::move(*needs), {}};
}

}  // namespace

Result<LineNeeds> LineNeedsOf(model::Model& model, uint64_t tokenizer_bytes, uint32_t n_ctx) {
  const auto layers = model.ExpertLayers();
  if (!layers) {
    return tl::unexpected(layers.error());
  }
  LineNeeds needs = {.model = model.Needs(),
                     .tokenizer_bytes = tokenizer_bytes,
                     .n_ctx = n_ctx,
                     .experts = ExpertClassesOf(*layers, model.hyper_params()),
                     .stream = StreamNeedsOf(model.Streamed())};
  if (!needs.experts.empty()) {
    const memory::policy::PageLayout layout = LayoutOf(*layers);
    needs.index = IndexBytes(layout);
    needs.sequence_index = order::Decoder::Bytes(layout);
    needs.io = io::kReaderTableBytes;
  }
  return needs;
}

double ReadBytesOfTurn(const LineDivision& division, std::span<const ExpertClass> experts,
                       uint32_t chunk) {
  const auto n_chunks = static_cast<double>(CeilDiv(kTurnPrompt, chunk));
  double bytes = (n_chunks + kTurnAnswer) * static_cast<double>(division.stream.streamed_bytes());
  for (size_t i = 0; i < division.experts.size(); ++i) {
    const double n_pages = experts[i].n_pages;
    const double n_cycle = experts[i].n_cycle;
    const double share = division.experts[i].n_frames / n_pages;
    const double touched =
        n_pages * (1 - std::pow(1 - n_cycle / n_pages, std::min(chunk, kTurnPrompt)));
    const double missed = MissCurve::Typical(n_cycle / n_pages).At(share) * n_cycle;
    bytes += static_cast<double>(experts[i].frame_bytes) *
             (n_chunks * touched * (1 - share) + kTurnAnswer * missed);
  }
  return bytes;
}

Result<FittedModel> OpenToFit(const formats::Catalogue& catalogue, kernels::Team& team,
                              const FitOptions& options, uint64_t tokenizer_bytes, uint64_t line) {
  std::optional<FittedModel> best;  // of those whose experts are paged
  double least_read = 0;
  for (uint32_t chunk = std::max(options.prefill_chunk, 1U);;
       chunk = std::max(chunk / 2, kShortestChunk)) {
    auto fitted = OpenWithChunk(catalogue, team, options, tokenizer_bytes, chunk);
    if (!fitted) {
      return fitted;
    }
    auto division = DivideLine(fitted->needs, line);
    if (division && division->residence == Residence::kAll) {
      fitted->division = std::move(*division);
      return fitted;
    }
    if (division) {
      const double read = ReadBytesOfTurn(*division, fitted->needs.experts, chunk);
      if (!best || read < least_read) {
        least_read = read;
        best = std::move(*fitted);
        best->division = std::move(*division);
      }
    }
    if (chunk <= kShortestChunk) {
      return best ? Result<FittedModel>(std::move(*best)) : tl::unexpected(division.error());
    }
  }
}

}  // namespace plimsoll::engine
