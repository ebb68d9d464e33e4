#include "engine/planner.h"

#include <algorithm>
#include <limits>

#include "engine/attention_work.h"
#include "engine/bundled_model.h"
#include "engine/expert_paging.h"
#include "engine/vocabulary_from_metadata.h"
#include "io/aligned_range.h"
#include "io/machine.h"

namespace plimsoll::engine {
namespace {

constexpr uint64_t kNoLine = std::numeric_limits<uint64_t>::max();

Result<uint64_t> TokenizerBytes(const formats::Catalogue& catalogue, const EngineOptions& options) {
  auto vocabulary = VocabularyFromMetadata(catalogue.metadata);
  if (!vocabulary) {
    return Forward(vocabulary);
  }
  const auto tokenizer = text::Tokenizer::Create(std::move(*vocabulary));
  if (!tokenizer) {
    return tl::unexpected(tokenizer.error());
  }
  return TokenizerMemory(**tokenizer, options);
}

ExpertWork WorkOf(const model::ExpertLayer& layer, uint32_t n_active) {
  ExpertWork work = {.n_experts = layer.n_experts, .n_active = n_active};
  for (const model::ExpertProjection& projection : layer.projections) {
    if (projection.entry == nullptr) {
      continue;
    }
    const formats::FileRange range = projection.RangeOf(0);
    work.expert_bytes += projection.matrix.bytes();
    work.read_bytes += io::AlignRange(range.offset, range.bytes).bytes;
    work.multiply_adds += projection.matrix.k * projection.matrix.rows;
    ++work.n_parts;
  }
  return work;
}

// Bytes of frames that are too few for one token's experts.
uint64_t LackingForCycle(const FittedModel& fitted) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < fitted.division.experts.size(); ++i) {
    const ExpertShare& share = fitted.division.experts[i];
    const uint32_t n_cycle = fitted.needs.experts[i].n_cycle;
    bytes += (n_cycle - std::min(n_cycle, share.n_frames)) * share.frame_bytes;
  }
  return bytes;
}

}  // namespace

Result<std::unique_ptr<Planner>> Planner::Open(const EngineOptions& options) {
  auto planner = std::unique_ptr<Planner>(new Planner());
  auto catalogue = OpenCatalogue(options.model);
  if (!catalogue) {
    return Forward(catalogue);
  }
  planner->catalogue_ = std::move(*catalogue);
  planner->contents_ = formats::Summarise(planner->catalogue_);
  const auto kernels = kernels::SelectKernelSet(options.kernels);
  if (!kernels) {
    return tl::unexpected(kernels.error());
  }
  auto packed = FindPacked(planner->catalogue_, options);
  if (!packed) {
    return Forward(packed);
  }
  planner->packed_ = std::move(*packed);
  planner->fit_ = {.n_ctx = options.n_ctx,
                   .n_parallel = options.n_parallel,
                   .prefill_chunk = options.prefill_chunk,
                   .batches = options.batches,
                   .kernels = *kernels,
                   .packed = planner->packed_.get(),
                   .kv = options.kv,
                   .kv_policy = options.kv_policy,
                   .kv_disk_bytes = options.kv_disk.bytes,
                   .importance = options.importance};
  const io::CoreFacts cores = io::ReadCoreFacts();
  planner->team_ = std::make_unique<kernels::Team>(
      options.n_threads != 0 ? options.n_threads : cores.n_usable, cores.processors);
  // The architecture is looked at before the tokenizer: of a file that can't run, that is said.
  auto fitted = planner->At(kNoLine);
  if (!fitted) {
    return Forward(fitted);
  }
  auto layers = fitted->model->ExpertLayers();
  if (!layers) {
    return Forward(layers);
  }
  planner->layers_ = std::move(*layers);
  planner->hp_ = fitted->model->hyper_params();
  planner->n_ctx_ = fitted->needs.n_ctx;
  const auto tokenizer_bytes = TokenizerBytes(planner->catalogue_, options);
  if (!tokenizer_bytes) {
    return tl::unexpected(tokenizer_bytes.error());
  }
  planner->tokenizer_bytes_ = *tokenizer_bytes;
  if (auto found = planner->FindLandmarks(); !found) {
    return Forward(found);
  }
  return planner;
}

Result<> Planner::FindLandmarks() {
  const auto whole = At(kNoLine);
  if (!whole) {
    return tl::unexpected(whole.error());
  }
  landmarks_.all_chunk = whole->division.parts.total();
  FitOptions shortest = fit_;
  shortest.prefill_chunk = std::min(fit_.prefill_chunk, kShortestChunk);
  const auto least = OpenToFit(catalogue_, *team_, shortest, tokenizer_bytes_, kNoLine);
  if (!least) {
    return tl::unexpected(least.error());
  }
  landmarks_.all = least->division.parts.total();
  landmarks_.least = DivideLeast(least->needs).parts.total();
  LineNeeds unstreamed = least->needs;
  unstreamed.stream = {};
  landmarks_.dense = DivideLeast(unstreamed).parts.total();
  return FindCycle();
}

// Each step adds what the frames lacked; a longer chunk of a prompt may have taken some of that.
Result<> Planner::FindCycle() {
  landmarks_.cycle = landmarks_.dense;
  while (landmarks_.cycle < landmarks_.all) {
    const auto fitted = At(landmarks_.cycle);
    if (!fitted) {
      return tl::unexpected(fitted.error());
    }
    const uint64_t lacking = LackingForCycle(*fitted);
    if (lacking == 0) {
      return {};
    }
    landmarks_.cycle = std::min(landmarks_.cycle + lacking, landmarks_.all);
  }
  return {};
}

uint64_t Planner::LineFor(const std::optional<SizeSpec>& memory) const {
  return memory ? memory->Resolve(catalogue_.TotalBytes())
                : io::DefaultMemoryLine(io::ReadMemoryFacts());
}

Result<FittedModel> Planner::At(uint64_t line) {
  return OpenToFit(catalogue_, *team_, fit_, tokenizer_bytes_, line);
}

std::string Planner::name() const {
  return hp_.name.empty() ? catalogue_.files.front()->name() : hp_.name;
}

bool Planner::is_quantized() const {
  return !contents_.by_dtype.empty() &&
         kernels::ActivationFormatFor(contents_.by_dtype.front().first) !=
             kernels::ActivationFormat::kF32;
}

bool Planner::has_experts() const {
  return std::ranges::any_of(layers_,
                             [](const model::ExpertLayer& layer) { return layer.n_experts > 0; });
}

MissCurve Planner::Misses() const {
  if (auto profile = LoadMissProfile(io::MeasurementCache::OfUser(),
                                     ProfileName(hp_, catalogue_.TotalBytes()))) {
    return *std::move(profile);
  }
  uint64_t n_active = 0;
  uint64_t n_experts = 0;
  for (const auto& layer : hp_.layers) {
    n_active += layer.is_moe() ? layer.n_experts_active : 0;
    n_experts += layer.is_moe() ? layer.n_experts : 0;
  }
  const double share =
      n_experts == 0 ? 1 : static_cast<double>(n_active) / static_cast<double>(n_experts);
  return MissCurve::Typical(share);
}

double Planner::Reached() const {
  return LoadReached(io::MeasurementCache::OfUser(), ProfileName(hp_, catalogue_.TotalBytes()));
}

TokenWork Planner::WorkAt(uint32_t position) const {
  TokenWork work;
  const formats::ReadPerToken& bytes = contents_.bytes_per_token;
  const AttentionWork attention = AttentionAt(hp_, model::KvLayoutOf(hp_, fit_.kv), position);
  work.dense_bytes = bytes.dense + bytes.output + bytes.embedding_row;
  work.kv_bytes = attention.kv_bytes;
  work.attention_multiply_adds = attention.multiply_adds;
  work.dense_multiply_adds = contents_.parameters_active;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i].n_experts == 0) {
      continue;
    }
    const ExpertWork& layer =
        work.experts.emplace_back(WorkOf(layers_[i], hp_.layers[i].n_experts_active));
    const uint64_t multiply_adds = layer.n_active * layer.multiply_adds;
    work.dense_multiply_adds -= std::min(work.dense_multiply_adds, multiply_adds);
  }
  return work;
}

}  // namespace plimsoll::engine
