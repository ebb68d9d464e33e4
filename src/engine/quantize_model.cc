#include "engine/quantize_model.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/checked.h"
#include "engine/importance.h"
#include "engine/rewrite_model.h"
#include "formats/escape.h"
#include "formats/gguf/writer.h"
#include "io/free_space.h"
#include "io/machine.h"
#include "kernels/kernels.h"
#include "kernels/quantize.h"
#include "kernels/team.h"
#include "tensor/matrix.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using tensor::DType;

// Values that are in memory as floats at a time, unless a row has more.
constexpr uint64_t kPieceValues = 1 << 20;

// The version of the quantized blocks, which readers of other programs look for.
constexpr uint32_t kQuantizationVersion = 2;

struct RowError {
  double of_error = 0;   // the sum of squares
  double of_values = 0;  // the sum of squares
};

// One tensor after another, a piece of rows at a time.
class Quantizer {
 public:
  Quantizer(const formats::Catalogue& catalogue, const QuantizeModelOptions& options,
            const kernels::KernelSet& kernels, formats::gguf::Writer& writer)
      : catalogue_(catalogue),
        options_(options),
        kernels_(kernels),
        writer_(writer),
        cores_(io::ReadCoreFacts()),
        team_(options.n_threads != 0 ? options.n_threads : cores_.n_usable, cores_.processors),
        bytes_total_(catalogue.TotalBytes()) {}

  Result<QuantizedTensor> Write(const TensorEntry& tensor, DType to);
  // From now on errors count by what the matrix says.
  void Weigh(ImportanceMatrix importance) { importance_ = std::move(importance); }

 private:
  // Rows of one tensor as they are read, as floats, as they are written, and as that reads back.
  struct Piece {
    tensor::Matrix source;
    uint64_t n_rows = 0;
    uint64_t out_row_bytes = 0;
  };

  Result<> Convert(const Piece& piece, const TensorEntry& tensor, DType to, uint64_t first_row);
  Result<> OnBytes(uint64_t bytes);
  // Of a row's values, by that of the matrix of the stack that it is in; empty: all count alike.
  [[nodiscard]] std::span<const float> ImportanceOf(const TensorEntry& tensor, uint64_t row) const {
    const uint64_t k = tensor.shape.dims[0];
    return importance_of_tensor_.empty()
               ? std::span<const float>()
               : std::span(importance_of_tensor_).subspan(row / tensor.shape.dims[1] * k, k);
  }

  const formats::Catalogue& catalogue_;
  const QuantizeModelOptions& options_;
  const kernels::KernelSet& kernels_;
  formats::gguf::Writer& writer_;
  io::CoreFacts cores_;
  kernels::Team team_;
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_;

  std::optional<ImportanceMatrix> importance_;
  std::vector<float> importance_of_tensor_;  // [n_matrices][k], or empty
  std::vector<std::byte> source_;
  std::vector<std::byte> quantized_;
  std::vector<std::vector<float>> values_;  // of each thread, a row
  std::vector<std::vector<float>> back_;    // of each thread, a row
  std::vector<RowError> errors_;            // of the piece's rows
  std::vector<std::optional<Error>> failures_;
};

Result<> Quantizer::OnBytes(uint64_t bytes) {
  bytes_done_ += bytes;
  if (options_.on_progress) {
    options_.on_progress(bytes_done_, bytes_total_);
  }
  if (options_.is_stopped && options_.is_stopped()) {
    return Fail(ErrorKind::kInterrupted, "quantizing was stopped; {} is not there",
                options_.output.string());
  }
  return {};
}

Result<> Quantizer::Convert(const Piece& piece, const TensorEntry& tensor, DType to,
                            uint64_t first_row) {
  const uint64_t k = piece.source.k;
  values_.resize(team_.n_threads());
  back_.resize(team_.n_threads());
  for (size_t thread = 0; thread < team_.n_threads(); ++thread) {
    values_[thread].resize(k);
    back_[thread].resize(k);
  }
  errors_.assign(piece.n_rows, {});
  failures_.assign(piece.n_rows, std::nullopt);
  const tensor::Matrix written = {to, tensor::Layout::kNative, k, piece.n_rows, quantized_.data()};
  team_.Run(piece.n_rows, [&](size_t row, size_t thread) {
    std::vector<float>& values = values_[thread];
    std::vector<float>& back = back_[thread];
    kernels_.dequantize_row(piece.source, row, values.data());
    const std::span<std::byte> out =
        std::span(quantized_).subspan(row * piece.out_row_bytes, piece.out_row_bytes);
    const auto importance = ImportanceOf(tensor, first_row + row);
    if (auto done = kernels::Quantize(to, values, importance, out, kernels_); !done) {
      failures_[row] = done.error();
      return;
    }
    kernels_.dequantize_row(written, row, back.data());
    for (uint64_t i = 0; i < k; ++i) {
      const double difference = double{values[i]} - back[i];
      errors_[row].of_error += difference * difference;
      errors_[row].of_values += double{values[i]} * values[i];
    }
  });
  for (uint64_t row = 0; row < piece.n_rows; ++row) {
    if (failures_[row]) {
      return Fail(failures_[row]->kind, "the tensor '{}', row {}: {}", formats::Escape(tensor.name),
                  first_row + row, failures_[row]->message);
    }
  }
  return {};
}

Result<QuantizedTensor> Quantizer::Write(const TensorEntry& tensor, DType to) {
  const uint64_t k = tensor.shape.dims[0];
  const uint64_t n_rows = tensor.shape.Elements() / k;
  const uint64_t row_bytes = *tensor::BytesFor(tensor.dtype, k);
  const uint64_t out_row_bytes = *tensor::BytesFor(to, k);
  const uint64_t most = std::clamp<uint64_t>(kPieceValues / k, 1, n_rows);
  source_.resize(most * row_bytes + tensor::kReadablePadding);
  quantized_.resize(most * out_row_bytes + tensor::kReadablePadding);
  QuantizedTensor outcome = {.name = tensor.name,
                             .shape = tensor.shape,
                             .from = tensor.dtype,
                             .to = to,
                             .bytes = n_rows * out_row_bytes};
  importance_of_tensor_.clear();
  if (importance_ && to != tensor.dtype) {
    auto importance = importance_->Of(tensor);
    if (!importance) {
      return Forward(importance);
    }
    importance_of_tensor_ = *std::move(importance);
  }
  RowError sum;
  for (uint64_t row = 0; row < n_rows; row += most) {
    const uint64_t n = std::min(most, n_rows - row);
    const std::span<std::byte> source = std::span(source_).first(n * row_bytes);
    if (auto read = catalogue_.Read(tensor, row * row_bytes, source); !read) {
      return Forward(read);
    }
    std::span<const std::byte> out = source;
    if (to != tensor.dtype) {
      const Piece piece = {.source = {tensor.dtype, tensor::Layout::kNative, k, n, source_.data()},
                           .n_rows = n,
                           .out_row_bytes = out_row_bytes};
      if (auto converted = Convert(piece, tensor, to, row); !converted) {
        return Forward(converted);
      }
      for (const RowError& error : errors_) {
        sum.of_error += error.of_error;
        sum.of_values += error.of_values;
      }
      out = std::span(quantized_).first(n * out_row_bytes);
    }
    if (auto written = writer_.Append(out); !written) {
      return Forward(written);
    }
    if (auto counted = OnBytes(n * row_bytes); !counted) {
      return Forward(counted);
    }
  }
  outcome.error = sum.of_values > 0 ? std::sqrt(sum.of_error / sum.of_values) : 0;
  return outcome;
}

Result<formats::Metadata> MetadataOf(const formats::Catalogue& catalogue, uint32_t file_type) {
  auto metadata = MetadataOfWhole(catalogue);
  if (metadata) {
    metadata->SetU32("general.file_type", file_type);
    metadata->SetU32("general.quantization_version", kQuantizationVersion);
  }
  return metadata;
}

// All of it is looked at before hours are spent on a part.
Result<> CheckIsOfModel(const ImportanceMatrix& importance, const formats::Catalogue& catalogue,
                        std::span<const DType> types) {
  const TensorEntry* without = nullptr;
  bool has_any = false;
  for (size_t i = 0; i < types.size(); ++i) {
    const TensorEntry& tensor = catalogue.tensors()[i];
    if (types[i] == tensor.dtype) {
      continue;
    }
    const auto of_tensor = importance.Of(tensor);
    if (!of_tensor) {
      return tl::unexpected<Error>(of_tensor.error());
    }
    has_any = has_any || !of_tensor->empty();
    without = of_tensor->empty() ? &tensor : without;
  }
  if (!has_any && without != nullptr) {
    return Fail(ErrorKind::kBadModel,
                "the importance matrix is of another model: it says nothing of '{}', nor of any "
                "other tensor that is to be quantized",
                formats::Escape(without->name));
  }
  return {};
}

}  // namespace

Result<QuantizedModel> QuantizeModel(const QuantizeModelOptions& options) {
  const auto catalogue = formats::OpenModel(options.model);
  if (!catalogue) {
    return tl::unexpected<Error>(catalogue.error());
  }
  if (auto checked = CheckRewrite(*catalogue, options.output, options.replaces); !checked) {
    return Forward(checked);
  }
  QuantizePlanOptions plan = options.plan;
  plan.has_importance = options.imatrix.has_value();
  const auto types = PlanQuantizedTypes(*catalogue, plan);
  if (!types) {
    return tl::unexpected<Error>(types.error());
  }
  const auto kernels = kernels::SelectKernelSet("");
  if (!kernels) {
    return tl::unexpected<Error>(kernels.error());
  }
  std::optional<ImportanceMatrix> importance;
  if (options.imatrix) {
    auto opened = ImportanceMatrix::Open(*options.imatrix);
    if (!opened) {
      return Forward(opened);
    }
    if (auto checked = CheckIsOfModel(*opened, *catalogue, *types); !checked) {
      return Forward(checked);
    }
    importance = *std::move(opened);
  }
  QuantizedModel model;
  std::vector<formats::gguf::TensorDeclaration> declarations;
  for (size_t i = 0; i < types->size(); ++i) {
    const TensorEntry& tensor = catalogue->tensors()[i];
    const auto bytes = tensor::BytesFor((*types)[i], tensor.shape.Elements());
    const auto sum = bytes ? CheckedAdd(model.bytes, *bytes) : std::nullopt;
    if (!sum) {
      return Fail(ErrorKind::kBadModel, "the tensor '{}' is too large",
                  formats::Escape(tensor.name));
    }
    model.bytes = *sum;
    declarations.push_back({tensor.name, (*types)[i], tensor.shape});
  }
  model.bytes_before = catalogue->TotalBytes();
  model.left_out = catalogue->left_out;
  if (auto room = io::CheckFreeSpace(options.output, model.bytes); !room) {
    return Forward(room);
  }
  const auto metadata = MetadataOf(*catalogue, options.plan.mix.file_type);
  if (!metadata) {
    return tl::unexpected<Error>(metadata.error());
  }
  auto writer = formats::gguf::Writer::Create(options.output, *metadata, declarations);
  if (!writer) {
    return Forward(writer);
  }
  Quantizer quantizer(*catalogue, options, **kernels, *writer);
  if (importance) {
    quantizer.Weigh(*std::move(importance));
  }
  for (size_t i = 0; i < types->size(); ++i) {
    auto tensor = quantizer.Write(catalogue->tensors()[i], (*types)[i]);
    if (!tensor) {
      return Forward(tensor);
    }
    model.tensors.push_back(*std::move(tensor));
  }
  if (auto finished = writer->Finish(); !finished) {
    return Forward(finished);
  }
  return model;
}

}  // namespace plimsoll::engine
