#include "engine/importance_recorder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <string_view>

#include "formats/gguf/writer.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using model::MatrixInput;
using tensor::DType;

constexpr std::string_view kSumsSuffix = ".in_sum2";
constexpr std::string_view kCountsSuffix = ".counts";

struct NamedInput {
  std::string_view name;  // behind "blk.N."
  MatrixInput input;
};
constexpr std::array<NamedInput, 23> kInputs = {
    {{"attn_q.weight", MatrixInput::kAttention},
     {"attn_k.weight", MatrixInput::kAttention},
     {"attn_v.weight", MatrixInput::kAttention},
     {"attn_qkv.weight", MatrixInput::kAttention},
     {"attn_q_a.weight", MatrixInput::kAttention},
     {"attn_kv_a_mqa.weight", MatrixInput::kAttention},
     {"attn_gate.weight", MatrixInput::kAttention},
     {"ssm_ba.weight", MatrixInput::kAttention},
     {"ssm_beta.weight", MatrixInput::kAttention},
     {"ssm_alpha.weight", MatrixInput::kAttention},
     {"ssm_out.weight", MatrixInput::kAttentionOutput},
     {"attn_q_b.weight", MatrixInput::kLatentQueries},
     {"attn_output.weight", MatrixInput::kAttentionOutput},
     {"ffn_gate.weight", MatrixInput::kFeedForward},
     {"ffn_up.weight", MatrixInput::kFeedForward},
     {"ffn_gate_exps.weight", MatrixInput::kFeedForward},
     {"ffn_up_exps.weight", MatrixInput::kFeedForward},
     {"ffn_gate_up_exps.weight", MatrixInput::kFeedForward},
     {"ffn_down.weight", MatrixInput::kDown},
     {"ffn_down_exps.weight", MatrixInput::kDown},
     {"ffn_gate_shexp.weight", MatrixInput::kSharedFeedForward},
     {"ffn_up_shexp.weight", MatrixInput::kSharedFeedForward},
     {"ffn_down_shexp.weight", MatrixInput::kSharedDown}}};

uint64_t MatricesIn(const TensorEntry& tensor) {
  return tensor.shape.Elements() / (tensor.shape.dims[0] * tensor.shape.dims[1]);
}

std::span<const std::byte> Bytes(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

}  // namespace

void ImportanceRecorder::OnInput(const model::ObservedRows& rows) {
  Sums& sums = sums_[{rows.layer_idx, rows.input}][rows.expert];
  sums.squares.resize(rows.k);
  sums.count += rows.n;
  for (size_t i = 0; i < rows.n; ++i) {
    const float* const x = rows.row(i);
    const double factor = rows.factors == nullptr ? 1 : rows.factors[i];
    for (uint64_t j = 0; j < rows.k; ++j) {
      sums.squares[j] += factor * x[j] * (factor * x[j]);
    }
  }
}

std::vector<const ImportanceRecorder::Sums*> ImportanceRecorder::SumsOf(
    const TensorEntry& tensor) const {
  constexpr std::string_view kLayer = "blk.";
  std::string_view name = tensor.name;
  uint32_t layer = 0;
  if (!name.starts_with(kLayer)) {
    return {};
  }
  const auto [end, error] =
      std::from_chars(name.data() + kLayer.size(), name.data() + name.size(), layer);
  name.remove_prefix(std::min(static_cast<size_t>(end - name.data()) + 1, name.size()));
  const auto* const input = std::ranges::find(kInputs, name, &NamedInput::name);
  const auto seen = error == std::errc() && input != kInputs.end()
                        ? sums_.find({layer, input->input})
                        : sums_.end();
  if (seen == sums_.end()) {
    return {};
  }
  std::vector<const Sums*> sums(MatricesIn(tensor));
  for (const auto& [expert, of_expert] : seen->second) {
    if (expert >= sums.size() || of_expert.squares.size() != tensor.shape.dims[0]) {
      return {};
    }
    sums[expert] = &of_expert;
  }
  return sums;
}

Result<> ImportanceRecorder::Write(const std::filesystem::path& path,
                                   const formats::Catalogue& model, const Source& source) const {
  std::map<std::string, std::vector<const Sums*>> of_tensors;
  std::vector<formats::gguf::TensorDeclaration> declarations;
  for (const TensorEntry& tensor : model.tensors()) {
    if (auto sums = SumsOf(tensor); !sums.empty()) {
      of_tensors.emplace(tensor.name, std::move(sums));
    }
  }
  if (of_tensors.empty()) {
    return Fail(ErrorKind::kFailed, "no matrix of the model was used");
  }
  for (const auto& [name, sums] : of_tensors) {
    const uint64_t k = model.Find(name)->shape.dims[0];
    declarations.push_back(
        {name + std::string(kSumsSuffix), DType::kF32, tensor::MakeShape(k, sums.size())});
    declarations.push_back(
        {name + std::string(kCountsSuffix), DType::kF32, tensor::MakeShape(1, sums.size())});
  }
  formats::Metadata metadata;
  metadata.SetString("general.type", "imatrix");
  metadata.SetStrings("imatrix.datasets", {source.dataset});
  metadata.SetU32("imatrix.chunk_count", source.n_chunks);
  metadata.SetU32("imatrix.chunk_size", source.chunk_tokens);
  auto writer = formats::gguf::Writer::Create(path, metadata, declarations);
  if (!writer) {
    return Forward(writer);
  }
  for (const auto& [name, sums] : of_tensors) {
    std::vector<float> squares(model.Find(name)->shape.dims[0] * sums.size());
    std::vector<float> counts(sums.size());
    const uint64_t k = squares.size() / sums.size();
    for (size_t matrix = 0; matrix < sums.size(); ++matrix) {
      if (sums[matrix] != nullptr) {
        std::ranges::transform(sums[matrix]->squares,
                               squares.begin() + static_cast<ptrdiff_t>(matrix * k),
                               [](double sum) { return static_cast<float>(sum); });
        counts[matrix] = static_cast<float>(sums[matrix]->count);
      }
    }
    for (const auto* const values : {&squares, &counts}) {
      if (auto written = writer->Append(Bytes(*values)); !written) {
        return written;
      }
    }
  }
  return writer->Finish();
}

}  // namespace plimsoll::engine
