#include "tools/inflate/plan.h"

#include <array>
#include <string_view>
#include <unordered_set>

#include <fmt/format.h>

namespace plimsoll::inflate {
namespace {

using formats::Catalogue;
using formats::TensorEntry;
using tensor::DType;

enum class Kind : uint8_t { kFloats, kMatrix, kStack };

struct Rule {
  std::string_view name;  // in a layer, or alone
  Kind kind;
  Axis Axes::*rows;
  Axis Axes::*columns;
  bool silent_when_added = false;
};

constexpr Rule kEmbedding = {"token_embd.weight", Kind::kMatrix, &Axes::vocabulary, &Axes::stream};
constexpr Rule kOutputNorm = {"output_norm.weight", Kind::kFloats, &Axes::single,
                              &Axes::stream_norm};
constexpr Rule kOutput = {"output.weight", Kind::kMatrix, &Axes::vocabulary, &Axes::stream};

constexpr std::array<Rule, 12> kLayer = {
    {{"attn_norm.weight", Kind::kFloats, &Axes::single, &Axes::stream_norm},
     {"attn_q.weight", Kind::kMatrix, &Axes::queries, &Axes::stream},
     {"attn_k.weight", Kind::kMatrix, &Axes::keys, &Axes::stream},
     {"attn_v.weight", Kind::kMatrix, &Axes::values, &Axes::value_input},
     {"attn_q_norm.weight", Kind::kFloats, &Axes::single, &Axes::query_norm},
     {"attn_k_norm.weight", Kind::kFloats, &Axes::single, &Axes::key_norm},
     {"attn_output.weight", Kind::kMatrix, &Axes::stream, &Axes::attention_input, true},
     {"ffn_norm.weight", Kind::kFloats, &Axes::single, &Axes::stream_norm},
     {"ffn_gate_inp.weight", Kind::kFloats, &Axes::experts, &Axes::stream},
     {"ffn_gate_exps.weight", Kind::kStack, &Axes::expert_rows, &Axes::stream},
     {"ffn_up_exps.weight", Kind::kStack, &Axes::expert_rows, &Axes::up_input},
     {"ffn_down_exps.weight", Kind::kStack, &Axes::stream, &Axes::down_input, true}}};

class Planner {
 public:
  Planner(const Catalogue& catalogue, const Axes& axes, DType dtype)
      : catalogue_(catalogue), axes_(axes), dtype_(dtype) {}

  // `name` is made of the source's tensor `source_name` as the rule says.
  Result<> Add(const Rule& rule, std::string name, const std::string& source_name,
               bool is_added = false) {
    const TensorEntry* source = catalogue_.Find(source_name);
    if (source == nullptr) {
      return Fail(ErrorKind::kBadModel, "the model has no tensor '{}'", source_name);
    }
    const Axis& rows = axes_.*rule.rows;
    const Axis& columns = axes_.*rule.columns;
    const uint64_t n_matrices = rule.kind == Kind::kStack ? axes_.experts.size() : 1;
    const auto small = tensor::MakeShape(columns.n_source, rows.n_source, n_matrices);
    if (!(source->shape == small)) {
      return Fail(ErrorKind::kBadModel, "the tensor '{}' is {}, not {} as the metadata has it",
                  source_name, source->shape.ToString(), small.ToString());
    }
    WideTensor wide = {
        .name = std::move(name),
        .source = source,
        .dtype = rule.kind == Kind::kFloats ? DType::kF32 : dtype_,
        .shape = {source->shape.n_dims, {columns.size(), rows.size(), n_matrices, 1}},
        .n_matrices = n_matrices,
        .rows = &rows,
        .columns = &columns,
        .is_silent = is_added && rule.silent_when_added};
    const tensor::DTypeTraits& traits = tensor::Traits(wide.dtype);
    if (columns.size() % traits.block_elements != 0) {
      return Fail(ErrorKind::kUsage, "rows of {} in '{}' are no whole blocks of {}, which have {}",
                  columns.size(), wide.name, traits.name, traits.block_elements);
    }
    used_.insert(source_name);
    tensors_.push_back(std::move(wide));
    return {};
  }

  Result<> AddLayer(uint32_t layer_idx, LayerSource source) {
    for (const Rule& rule : kLayer) {
      auto added = Add(rule, fmt::format("blk.{}.{}", layer_idx, rule.name),
                       fmt::format("blk.{}.{}", source.layer_idx, rule.name), source.is_added);
      if (!added) {
        return added;
      }
    }
    return {};
  }

  // A tensor that is left over is a part of the function that would be lost.
  [[nodiscard]] Result<> CheckAllUsed() const {
    for (const TensorEntry& entry : catalogue_.tensors()) {
      if (!used_.contains(entry.name)) {
        return Fail(ErrorKind::kBadModel, "the tensor '{}' is not one that can be widened",
                    entry.name);
      }
    }
    return {};
  }

  [[nodiscard]] std::vector<WideTensor> Take() && { return std::move(tensors_); }

 private:
  const Catalogue& catalogue_;
  const Axes& axes_;
  DType dtype_;
  std::vector<WideTensor> tensors_;
  std::unordered_set<std::string> used_;
};

}  // namespace

LayerSource SourceOfLayer(uint32_t layer_idx, uint32_t n_source, uint32_t n_layers) {
  const auto source_of = [&](uint64_t layer) {
    return static_cast<uint32_t>(layer * n_source / n_layers);
  };
  const uint32_t source = source_of(layer_idx);
  return {source, layer_idx > 0 && source_of(layer_idx - 1) == source};
}

Result<std::vector<WideTensor>> PlanTensors(const Catalogue& catalogue, const Axes& axes,
                                            uint32_t n_source_layers, uint32_t n_layers,
                                            DType dtype) {
  Planner planner(catalogue, axes, dtype);
  const auto add = [&](const Rule& rule) {
    return planner.Add(rule, std::string(rule.name), std::string(rule.name));
  };
  auto planned = add(kEmbedding);
  for (uint32_t i = 0; planned && i < n_layers; ++i) {
    planned = planner.AddLayer(i, SourceOfLayer(i, n_source_layers, n_layers));
  }
  if (planned) {
    planned = add(kOutputNorm);
  }
  if (planned && catalogue.Find(kOutput.name) != nullptr) {  // else the embedding serves as one
    planned = add(kOutput);
  }
  if (planned) {
    planned = planner.CheckAllUsed();
  }
  if (!planned) {
    return Forward(planned);
  }
  return std::move(planner).Take();
}

uint64_t TotalBytes(std::span<const WideTensor> tensors) {
  uint64_t total = 0;
  for (const WideTensor& wide : tensors) {
    total += tensor::BytesFor(wide.dtype, wide.shape.Elements()).value_or(0);
  }
  return total;
}

}  // namespace plimsoll::inflate
