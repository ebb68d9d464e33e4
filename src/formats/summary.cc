#include "formats/summary.h"

#include <algorithm>
#include <map>

#include "formats/layer_tensor_name.h"

namespace plimsoll::formats {
namespace {

constexpr std::array<std::string_view, kTensorKinds> kKindNames = {
    "embedding", "attention", "router",     "experts", "feed-forward",
    "norm",      "output",    "prediction", "other"};

// Of which a token reads one row; an output matrix may be the first of them.
constexpr std::array<std::string_view, 2> kTableNames = {"token_embd.weight",
                                                         "per_layer_token_embd.weight"};

// "ffn_up.3.weight": files from before expert tensors were stacked name each expert.
bool IsNumberedExpert(std::string_view name) {
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && dot + 1 < name.size() && name[dot + 1] >= '0' &&
         name[dot + 1] <= '9';
}

TensorKind ClassifyFeedForward(std::string_view name) {
  if (name.starts_with("ffn_gate_inp.")) {
    return TensorKind::kRouter;
  }
  if (name.find("_exps.") != std::string_view::npos || IsNumberedExpert(name)) {
    return TensorKind::kExperts;
  }
  return TensorKind::kFeedForward;
}

uint32_t CountOr0(const Metadata& metadata, const std::string& suffix) {
  const auto architecture = metadata.StringOr("general.architecture", "");
  if (!architecture) {
    return 0;
  }
  return metadata.U32Or(std::string(*architecture) + suffix, 0).value_or(0);
}

// A quantity of the experts, cut down to those that a token uses. Stacks divide evenly.
uint64_t ActiveShare(const Summary& summary, uint64_t of_all_experts) {
  return summary.n_experts == 0 ? of_all_experts
                                : of_all_experts / summary.n_experts * summary.n_experts_active;
}

void CountExperts(const Metadata& metadata, Summary& summary) {
  summary.n_experts = CountOr0(metadata, ".expert_count");
  const uint32_t active = CountOr0(metadata, ".expert_used_count");
  const bool known = active > 0 && active <= summary.n_experts;
  summary.n_experts_active = known ? active : summary.n_experts;
}

void CountPerToken(const Catalogue& catalogue, Summary& summary) {
  const Totals& experts = summary.of(TensorKind::kExperts);
  const Totals& embedding = summary.of(TensorKind::kEmbedding);
  const Totals& output = summary.of(TensorKind::kOutput);
  const Totals& prediction = summary.of(TensorKind::kPrediction);
  Totals dense_output = output;
  if (const TensorEntry* tied = catalogue.Find(kTableNames[0]);
      tied != nullptr && summary.output_is_tied) {
    dense_output.Add(tied->shape.Elements(), tied->bytes);
  }
  ReadPerToken& bytes = summary.bytes_per_token;
  bytes.output = dense_output.bytes;
  bytes.experts = ActiveShare(summary, experts.bytes);
  bytes.dense =
      summary.all.bytes - embedding.bytes - output.bytes - experts.bytes - prediction.bytes;
  for (const std::string_view name : kTableNames) {
    if (const TensorEntry* table = catalogue.Find(name)) {
      bytes.embedding_row += table->bytes / (table->shape.Elements() / table->shape.dims[0]);
    }
  }
  const uint64_t dense_parameters = summary.all.parameters - embedding.parameters -
                                    output.parameters - experts.parameters - prediction.parameters;
  summary.parameters_active =
      dense_parameters + dense_output.parameters + ActiveShare(summary, experts.parameters);
}

}  // namespace

std::string_view TensorKindName(TensorKind kind) { return kKindNames[static_cast<size_t>(kind)]; }

TensorKind ClassifyTensor(std::string_view name, uint32_t n_layers) {
  const auto in_layer = ParseLayerTensorName(name);
  if (in_layer && in_layer->layer_idx >= n_layers) {
    return TensorKind::kPrediction;
  }
  const std::string_view piece = in_layer ? in_layer->rest : name;
  if (piece.find("norm") != std::string_view::npos) {
    return TensorKind::kNorm;
  }
  if (!in_layer) {
    if (name.find("embd") != std::string_view::npos || name.starts_with("token_types.")) {
      return TensorKind::kEmbedding;
    }
    return name.starts_with("output.") ? TensorKind::kOutput : TensorKind::kOther;
  }
  if (piece.starts_with("attn_") || piece.starts_with("ssm_")) {
    return TensorKind::kAttention;
  }
  if (piece.starts_with("exp_probs_b")) {
    return TensorKind::kRouter;
  }
  return piece.starts_with("ffn_") ? ClassifyFeedForward(piece) : TensorKind::kOther;
}

uint32_t LayersInUse(const Metadata& metadata) {
  const uint32_t n_prediction = CountOr0(metadata, ".nextn_predict_layers");
  const uint32_t n_layers = CountOr0(metadata, ".block_count");
  return n_prediction == 0 || n_prediction >= n_layers ? UINT32_MAX : n_layers - n_prediction;
}

Summary Summarise(const Catalogue& catalogue) {
  Summary summary;
  std::map<tensor::DType, Totals> by_dtype;
  const uint32_t n_layers = LayersInUse(catalogue.metadata);
  for (const TensorEntry& tensor : catalogue.tensors()) {
    const uint64_t parameters = tensor.shape.Elements();
    const TensorKind kind = ClassifyTensor(tensor.name, n_layers);
    summary.by_kind[static_cast<size_t>(kind)].Add(parameters, tensor.bytes);
    summary.all.Add(parameters, tensor.bytes);
    by_dtype[tensor.dtype].Add(parameters, tensor.bytes);
  }
  summary.by_dtype.assign(by_dtype.begin(), by_dtype.end());
  std::ranges::stable_sort(summary.by_dtype, std::ranges::greater(),
                           [](const auto& entry) { return entry.second.bytes; });
  summary.output_is_tied = summary.of(TensorKind::kOutput).n_tensors == 0;
  if (n_layers != UINT32_MAX) {
    summary.n_prediction_layers = CountOr0(catalogue.metadata, ".nextn_predict_layers");
  }
  CountExperts(catalogue.metadata, summary);
  CountPerToken(catalogue, summary);
  return summary;
}

}  // namespace plimsoll::formats
