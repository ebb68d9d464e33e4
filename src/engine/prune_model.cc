#include "engine/prune_model.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "engine/rewrite_model.h"
#include "formats/escape.h"
#include "formats/gguf/writer.h"
#include "formats/layer_tensor_name.h"
#include "io/free_space.h"
#include "model/architecture.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;

constexpr uint64_t kCopiedBytes = 8 << 20;

// Matrices and vectors of the experts, and what routers have of each. Norms are of all experts;
// scales may be of either.
bool HasPartOfEachExpert(std::string_view name, const TensorEntry& tensor, uint32_t n_experts) {
  const bool of_experts =
      name.find("_exps.") != std::string_view::npos && name.find("norm") == std::string_view::npos;
  const bool of_router = name.starts_with("ffn_gate_inp.") || name.starts_with("exp_probs_b");
  if (name.ends_with(".scale") && tensor.shape.dims[tensor.shape.n_dims - 1] != n_experts) {
    return false;
  }
  return of_experts || (of_router && !name.ends_with(".scale"));
}

// What becomes of a tensor: all of it stays, or the parts of some experts.
struct Fate {
  const TensorEntry* tensor = nullptr;
  const LayerPruning* layer = nullptr;  // null: it stays as it is
  formats::gguf::TensorDeclaration declaration;
  uint64_t bytes = 0;
};

Result<Fate> FateOf(const TensorEntry& tensor, const std::vector<LayerPruning>& layers,
                    uint32_t n_experts) {
  Fate fate = {.tensor = &tensor,
               .layer = nullptr,
               .declaration = {tensor.name, tensor.dtype, tensor.shape},
               .bytes = tensor.bytes};
  const auto name = formats::ParseLayerTensorName(tensor.name);
  if (!name || !HasPartOfEachExpert(name->rest, tensor, n_experts)) {
    return fate;
  }
  const auto layer = std::ranges::find(layers, name->layer_idx, &LayerPruning::layer_idx);
  uint64_t& n_parts = fate.declaration.shape.dims[tensor.shape.n_dims - 1];
  // A vector is no whole number of blocks for each expert where it is quantized.
  const bool is_divided =
      tensor.shape.n_dims > 1 || tensor::Traits(tensor.dtype).block_elements == 1;
  if (layer == layers.end() || n_parts != n_experts || !is_divided) {
    return Fail(ErrorKind::kBadModel, "the tensor '{}' has no part for each of {} experts",
                formats::Escape(tensor.name), n_experts);
  }
  fate.layer = &*layer;
  n_parts = layer->kept.size();
  fate.bytes = tensor.bytes / n_experts * layer->kept.size();
  return fate;
}

class Copier {
 public:
  Copier(const formats::Catalogue& catalogue, const PruneModelOptions& options, uint64_t bytes_done,
         uint64_t bytes_total, formats::gguf::Writer& writer)
      : catalogue_(catalogue),
        options_(options),
        bytes_done_(bytes_done),
        bytes_total_(bytes_total),
        writer_(writer) {}

  Result<> Write(const Fate& fate) {
    if (fate.layer == nullptr) {
      return Copy(*fate.tensor, 0, fate.tensor->bytes);
    }
    const uint64_t part = fate.tensor->bytes / fate.layer->scores.size();
    for (const uint32_t expert : fate.layer->kept) {
      if (auto copied = Copy(*fate.tensor, expert * part, part); !copied) {
        return copied;
      }
    }
    return {};
  }

 private:
  Result<> Copy(const TensorEntry& tensor, uint64_t offset, uint64_t n_bytes) {
    for (const uint64_t end = offset + n_bytes; offset < end;) {
      piece_.resize(std::min(kCopiedBytes, end - offset));
      if (auto read = catalogue_.Read(tensor, offset, piece_); !read) {
        return read;
      }
      if (auto written = writer_.Append(piece_); !written) {
        return written;
      }
      offset += piece_.size();
      bytes_done_ += piece_.size();
      if (options_.on_progress) {
        options_.on_progress(bytes_done_, bytes_total_);
      }
      if (options_.is_stopped && options_.is_stopped()) {
        return Fail(ErrorKind::kInterrupted, "pruning was stopped; {} is not there",
                    options_.output.string());
      }
    }
    return {};
  }

  const formats::Catalogue& catalogue_;
  const PruneModelOptions& options_;
  uint64_t bytes_done_;
  uint64_t bytes_total_;
  formats::gguf::Writer& writer_;
  std::vector<std::byte> piece_;
};

Result<model::HyperParams> ReadShape(const formats::Catalogue& catalogue) {
  const auto name = catalogue.metadata.String("general.architecture");
  if (!name) {
    return tl::unexpected<Error>(name.error());
  }
  const auto architecture = model::FindArchitecture(*name);
  if (!architecture) {
    return tl::unexpected<Error>(architecture.error());
  }
  return model::ReadHyperParams(**architecture, catalogue);
}

ExpertCounts CountsOf(const model::HyperParams& hp) {
  ExpertCounts counts = {.n_groups = hp.router.n_groups, .n_groups_used = hp.router.n_groups_used};
  for (const model::LayerParams& layer : hp.layers) {
    if (layer.is_moe()) {
      counts.n_experts = std::max(counts.n_experts, layer.n_experts);
      counts.n_active = std::max(counts.n_active, layer.n_experts_active);
    }
  }
  return counts;
}

bool HasQuantizedExperts(const formats::Catalogue& catalogue) {
  return std::ranges::any_of(catalogue.tensors(), [](const TensorEntry& tensor) {
    return tensor.name.ends_with("_exps.weight") && tensor::Traits(tensor.dtype).block_elements > 1;
  });
}

// Bytes of expert stacks: of those that ScoreExperts reads.
uint64_t ScoredBytes(const formats::Catalogue& catalogue) {
  uint64_t bytes = 0;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    bytes += tensor.name.ends_with("_exps.weight") ? tensor.bytes : 0;
  }
  return bytes;
}

struct Plan {
  std::vector<LayerPruning> layers;
  uint64_t bytes_read = 0;
  uint64_t bytes_to_read = 0;  // in all, about
};

Result<Plan> MakePlan(const formats::Catalogue& catalogue, const formats::Catalogue& scored,
                      const PruneModelOptions& options) {
  const auto hp = ReadShape(catalogue);
  if (!hp) {
    return tl::unexpected<Error>(hp.error());
  }
  Plan plan;
  plan.bytes_read = ScoredBytes(scored);
  plan.bytes_to_read = plan.bytes_read + catalogue.TotalBytes();
  ScoreExpertsOptions scoring = {
      .n_threads = options.n_threads, .on_progress = {}, .is_stopped = options.is_stopped};
  if (options.on_progress) {
    scoring.on_progress = [&](uint64_t done, uint64_t /*total*/) {
      options.on_progress(done, plan.bytes_to_read);
    };
  }
  const auto scores = ScoreExperts(scored, scoring);
  if (!scores) {
    return tl::unexpected<Error>(scores.error());
  }
  auto layers = PlanPruning(*scores, CountsOf(*hp), options.ratio);
  if (!layers) {
    return Forward(layers);
  }
  plan.layers = *std::move(layers);
  return plan;
}

Result<PrunedModel> WritePruned(const formats::Catalogue& catalogue, Plan plan,
                                const PruneModelOptions& options) {
  const auto n_experts = static_cast<uint32_t>(plan.layers.front().scores.size());
  const uint64_t n_kept = plan.layers.front().kept.size();
  PrunedModel pruned;
  std::vector<Fate> fates;
  std::vector<formats::gguf::TensorDeclaration> declarations;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    auto fate = FateOf(tensor, plan.layers, n_experts);
    if (!fate) {
      return Forward(fate);
    }
    pruned.bytes += fate->bytes;
    declarations.push_back(fate->declaration);
    fates.push_back(*std::move(fate));
  }
  pruned.bytes_before = catalogue.TotalBytes();
  if (auto room = io::CheckFreeSpace(options.output, pruned.bytes); !room) {
    return Forward(room);
  }
  auto metadata = MetadataOfWhole(catalogue);
  if (!metadata) {
    return Forward(metadata);
  }
  metadata->SetU32(std::string(*metadata->String("general.architecture")) + ".expert_count",
                   static_cast<uint32_t>(n_kept));
  auto writer = formats::gguf::Writer::Create(options.output, *metadata, declarations);
  if (!writer) {
    return Forward(writer);
  }
  Copier copier(catalogue, options, plan.bytes_read, plan.bytes_read + pruned.bytes, *writer);
  for (const Fate& fate : fates) {
    if (auto written = copier.Write(fate); !written) {
      return Forward(written);
    }
  }
  if (auto finished = writer->Finish(); !finished) {
    return Forward(finished);
  }
  pruned.layers = std::move(plan.layers);
  return pruned;
}

}  // namespace

Result<PrunedModel> PruneModel(const PruneModelOptions& options) {
  const auto catalogue = formats::OpenModel(options.model);
  if (!catalogue) {
    return tl::unexpected<Error>(catalogue.error());
  }
  if (auto checked = CheckRewrite(*catalogue, options.output, options.replaces); !checked) {
    return Forward(checked);
  }
  std::optional<formats::Catalogue> other;
  if (options.scored) {
    auto opened = formats::OpenModel(*options.scored);
    if (!opened) {
      return Forward(opened);
    }
    other = *std::move(opened);
  }
  const formats::Catalogue& scored = other ? *other : *catalogue;
  auto plan = MakePlan(*catalogue, scored, options);
  if (!plan) {
    return Forward(plan);
  }
  auto pruned = WritePruned(*catalogue, *std::move(plan), options);
  if (pruned) {
    pruned->is_quantized = HasQuantizedExperts(scored);
  }
  return pruned;
}

}  // namespace plimsoll::engine
