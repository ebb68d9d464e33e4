#include "engine/fit_model.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "memory/policy/forecast.h"

namespace plimsoll::engine {
namespace {

// The pager's own tables: a page's state, frame, place in the files and waiters.
constexpr uint64_t kPagerBytesAPage = 128;
// The reader's tables of requests and segments.
constexpr uint64_t kReaderBytes = 512 * kKiB;

uint64_t IndexBytes(std::span<const model::ExpertLayer> layers) {
  std::vector<uint32_t> n_pages;
  for (const model::ExpertLayer& layer : layers) {
    n_pages.push_back(layer.n_experts);
  }
  const memory::policy::PageLayout layout(n_pages);
  return memory::policy::Forecast::Bytes(layout) + layout.n_pages() * kPagerBytesAPage;
}

Result<FittedModel> OpenWithChunk(const formats::Catalogue& catalogue, kernels::Team& team,
                                  const FitOptions& options, uint64_t tokenizer_bytes,
                                  uint32_t chunk) {
  auto model = model::Model::Open(
      catalogue, team, {.max_chunk = chunk, .kernels = options.kernels, .packed = options.packed});
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
  return FittedModel{std::move(*model), std::move(*needs), {}};
}

// Whether a division leaves the experts enough beside its chunk's scratch memory.
bool IsBalanced(const LineDivision& division) {
  const auto scratch = static_cast<double>(division.parts.scratch);
  const auto experts = static_cast<double>(division.parts.experts);
  return division.residence == Residence::kAll || scratch <= kScratchShareMax * (scratch + experts);
}

}  // namespace

Result<LineNeeds> LineNeedsOf(const model::Model& model, uint64_t tokenizer_bytes, uint32_t n_ctx) {
  const auto layers = model.ExpertLayers();
  if (!layers) {
    return tl::unexpected(layers.error());
  }
  LineNeeds needs = {.model = model.Needs(),
                     .tokenizer_bytes = tokenizer_bytes,
                     .n_ctx = n_ctx,
                     .experts = ExpertClassesOf(*layers, model.hyper_params())};
  if (!needs.experts.empty()) {
    needs.index = IndexBytes(*layers);
    needs.io = kReaderBytes;
  }
  return needs;
}

Result<FittedModel> OpenToFit(const formats::Catalogue& catalogue, kernels::Team& team,
                              const FitOptions& options, uint64_t tokenizer_bytes, uint64_t line) {
  std::optional<FittedModel> paged;  // with the longest chunk that is balanced
  for (uint32_t chunk = std::max(options.prefill_chunk, 1U);;
       chunk = std::max(chunk / 2, kShortestChunk)) {
    auto fitted = OpenWithChunk(catalogue, team, options, tokenizer_bytes, chunk);
    if (!fitted) {
      return fitted;
    }
    auto division = DivideLine(fitted->needs, line);
    const bool is_shortest = chunk <= kShortestChunk;
    if (division) {
      fitted->division = std::move(*division);
      if (fitted->division.residence == Residence::kAll) {
        return fitted;
      }
      if (!paged && (is_shortest || IsBalanced(fitted->division))) {
        paged = std::move(*fitted);
      }
    }
    if (is_shortest) {
      if (paged) {
        return std::move(*paged);
      }
      return tl::unexpected(division.error());
    }
  }
}

}  // namespace plimsoll::engine
