#include "engine/importance_recorder.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/invariant.h"
#include "engine/rewrite_model.h"
#include "formats/gguf/writer.h"
#include "io/atomic_file.h"
#include "io/free_space.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using model::MatrixInput;
using tensor::DType;

constexpr std::string_view kSumsSuffix = ".in_sum2";
constexpr std::string_view kCountsSuffix = ".counts";

struct SumSpans {
  std::span<double> squares;
  std::span<uint64_t> counts;
};

SumSpans LaySums(const MatrixInput& input, memory::Carver& carver) {
  return {carver.Take<double>(input.n_matrices * input.k), carver.Take<uint64_t>(input.n_matrices)};
}

template <class T>
std::vector<float> ToFloats(std::span<const T> values) {
  std::vector<float> floats(values.size());
  std::ranges::transform(values, floats.begin(), [](T value) { return static_cast<float>(value); });
  return floats;
}

}  // namespace

std::vector<MatrixInput> RecordedInputs(const model::Model& model,
                                        const ImportanceOptions& options) {
  std::vector<MatrixInput> inputs = model.MatrixInputs();
  if (!options.with_logits) {
    std::erase_if(inputs, [](const MatrixInput& input) { return input.makes_logits; });
  }
  return inputs;
}

Result<> CheckImportanceOutput(const formats::Catalogue& catalogue,
                               std::span<const MatrixInput> inputs,
                               const std::filesystem::path& output) {
  if (auto other = CheckOutputIsNoPart(catalogue, output); !other) {
    return other;
  }
  if (auto file = io::AtomicFile::Create(output); !file) {
    return Forward(file);
  }
  uint64_t bytes = 0;
  for (const MatrixInput& input : inputs) {
    bytes += input.tensors.size() * input.n_matrices * (input.k + 1) * sizeof(float);
  }
  return io::CheckFreeSpace(output, bytes);
}

uint64_t ImportanceRecorder::Bytes(std::span<const MatrixInput> inputs) {
  memory::Carver counting;
  for (const MatrixInput& input : inputs) {
    LaySums(input, counting);
  }
  return counting.used();
}

Result<std::unique_ptr<ImportanceRecorder>> ImportanceRecorder::Create(
    std::vector<MatrixInput> inputs, memory::Ledger& ledger) {
  auto buffer = memory::Buffer::Allocate(ledger, memory::Account::kScratch, Bytes(inputs),
                                         "the sums of an importance matrix");
  if (!buffer) {
    return Forward(buffer);
  }
  return std::unique_ptr<ImportanceRecorder>(
      new ImportanceRecorder(std::move(inputs), *std::move(buffer)));
}

ImportanceRecorder::ImportanceRecorder(std::vector<MatrixInput> inputs, memory::Buffer buffer)
    : buffer_(std::move(buffer)) {
  memory::Carver carver(buffer_.span());
  sums_.reserve(inputs.size());
  for (MatrixInput& input : inputs) {
    const SumSpans spans = LaySums(input, carver);
    Sums& sums = sums_.emplace_back(std::move(input), spans.squares, spans.counts);
    for (const tensor::Matrix* reader : sums.input.readers) {
      by_reader_[reader] = &sums;
    }
  }
}

void ImportanceRecorder::OnInput(const tensor::Matrix& reader, const model::ObservedRows& rows) {
  const auto found = by_reader_.find(&reader);
  if (found == by_reader_.end()) {
    return;
  }
  Sums& sums = *found->second;
  Invariant(rows.k == sums.input.k && rows.matrix_idx < sums.input.n_matrices,
            "a matrix reads rows of its own width");
  sums.counts[rows.matrix_idx] += rows.n;
  const std::span<double> squares = sums.squares.subspan(rows.matrix_idx * rows.k, rows.k);
  for (size_t i = 0; i < rows.n; ++i) {
    const float* const x = rows.row(i);
    const double factor = rows.factors == nullptr ? 1 : rows.factors[i];
    for (uint64_t j = 0; j < rows.k; ++j) {
      squares[j] += factor * x[j] * (factor * x[j]);
    }
  }
}

Result<> ImportanceRecorder::Write(const std::filesystem::path& path,
                                   const ImportanceSource& source) const {
  std::vector<const Sums*> of_tensors;  // as the declarations, of which each tensor has two
  std::vector<formats::gguf::TensorDeclaration> declarations;
  for (const Sums& sums : sums_) {
    if (std::ranges::all_of(sums.counts, [](uint64_t count) { return count == 0; })) {
      continue;
    }
    for (const TensorEntry* tensor : sums.input.tensors) {
      of_tensors.push_back(&sums);
      declarations.push_back({tensor->name + std::string(kSumsSuffix), DType::kF32,
                              tensor::MakeShape(sums.input.k, sums.input.n_matrices)});
      declarations.push_back({tensor->name + std::string(kCountsSuffix), DType::kF32,
                              tensor::MakeShape(1, sums.input.n_matrices)});
    }
  }
  if (of_tensors.empty()) {
    return Fail(ErrorKind::kFailed, "no matrix of the model was used");
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
  for (const Sums* sums : of_tensors) {
    for (uint64_t matrix = 0; matrix < sums->input.n_matrices; ++matrix) {
      const uint64_t k = sums->input.k;
      const auto squares = ToFloats<double>(sums->squares.subspan(matrix * k, k));
      if (auto written = writer->Append(std::as_bytes(std::span(squares))); !written) {
        return written;
      }
    }
    const auto counts = ToFloats<uint64_t>(sums->counts);
    if (auto written = writer->Append(std::as_bytes(std::span(counts))); !written) {
      return written;
    }
  }
  return writer->Finish();
}

}  // namespace plimsoll::engine
