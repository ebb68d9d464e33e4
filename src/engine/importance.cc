#include "engine/importance.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "formats/escape.h"
#include "formats/gguf/reader.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;
using tensor::DType;

constexpr std::string_view kSums = ".in_sum2";
constexpr std::string_view kCounts = ".counts";

// Where a file has gate and up as one stack, both read what it reads.
std::string JoinedName(std::string_view name) {
  for (const std::string_view half : {".ffn_gate_exps.weight", ".ffn_up_exps.weight"}) {
    if (name.ends_with(half)) {
      return fmt::format("{}.ffn_gate_up_exps.weight", name.substr(0, name.size() - half.size()));
    }
  }
  return std::string(name);
}

uint64_t MatricesOf(const TensorEntry& tensor) {
  return tensor.shape.Elements() / (tensor.shape.dims[0] * tensor.shape.dims[1]);
}

}  // namespace

Result<ImportanceMatrix> ImportanceMatrix::Open(const std::filesystem::path& path) {
  auto file = formats::gguf::Open(path);
  if (!file) {
    return Forward(file);
  }
  const bool has_sums = std::ranges::any_of(
      file->tensors(), [](const TensorEntry& tensor) { return tensor.name.ends_with(kSums); });
  if (!has_sums) {
    return Fail(ErrorKind::kBadModel, "{} is no importance matrix: it has no tensor NAME{}",
                path.string(), kSums);
  }
  return ImportanceMatrix(*std::move(file));
}

Result<std::vector<float>> ImportanceMatrix::Read(const TensorEntry& entry) const {
  std::vector<float> values(entry.shape.Elements());
  if (entry.dtype != DType::kF32 || entry.ranges.size() != 1) {
    return Fail(ErrorKind::kBadModel, "the importance matrix's '{}' is not F32",
                formats::Escape(entry.name));
  }
  const formats::FileRange& range = entry.ranges[0];
  if (auto read = file_.files[range.file_idx]->ReadAt(range.offset,
                                                      std::as_writable_bytes(std::span(values)));
      !read) {
    return Forward(read);
  }
  const auto bad = std::ranges::find_if_not(
      values, [](float value) { return std::isfinite(value) && value >= 0; });
  if (bad != values.end()) {
    return Fail(ErrorKind::kBadModel, "the importance matrix's '{}' has {} at place {}",
                formats::Escape(entry.name), *bad, bad - values.begin());
  }
  return values;
}

Result<std::vector<float>> ImportanceMatrix::Of(const TensorEntry& tensor) const {
  std::string name = tensor.name;
  if (file_.Find(name + std::string(kSums)) == nullptr) {
    name = JoinedName(name);
  }
  const TensorEntry* const sums_entry = file_.Find(name + std::string(kSums));
  const TensorEntry* const counts_entry = file_.Find(name + std::string(kCounts));
  if (sums_entry == nullptr && counts_entry == nullptr) {
    return std::vector<float>();
  }
  if (sums_entry == nullptr || counts_entry == nullptr) {
    const bool has_sums = sums_entry != nullptr;
    return Fail(ErrorKind::kBadModel, "the importance matrix has '{}{}', but no '{}{}'",
                formats::Escape(name), has_sums ? kSums : kCounts, formats::Escape(name),
                has_sums ? kCounts : kSums);
  }
  const uint64_t k = tensor.shape.dims[0];
  const uint64_t n_matrices = MatricesOf(tensor);
  // llama.cpp has one row and one count for all heads' matrices together.
  const uint64_t n_counts = counts_entry->shape.Elements();
  const bool is_together = n_counts == 1 && sums_entry->shape.dims[0] == k * n_matrices;
  if (sums_entry->shape.Elements() != k * n_matrices ||
      (!is_together && (sums_entry->shape.dims[0] != k || n_counts != n_matrices))) {
    return Fail(ErrorKind::kBadModel,
                "the importance matrix is of another model: its '{}' has {} x {} numbers, not {} x "
                "{}",
                formats::Escape(sums_entry->name), sums_entry->shape.dims[0], n_counts, k,
                n_matrices);
  }
  auto importance = Read(*sums_entry);
  if (!importance) {
    return importance;
  }
  auto counts = Read(*counts_entry);
  if (!counts) {
    return Forward(counts);
  }
  for (uint64_t matrix = 0; matrix < n_matrices; ++matrix) {
    const float count = (*counts)[is_together ? 0 : matrix];
    for (float& value : std::span(*importance).subspan(matrix * k, k)) {
      value = count > 0 ? value / count : 1.0F;
      if (!std::isfinite(value)) {
        return Fail(ErrorKind::kBadModel,
                    "the importance matrix's '{}' has {}, by which no sum can be divided",
                    formats::Escape(counts_entry->name), count);
      }
    }
  }
  return importance;
}

}  // namespace plimsoll::engine
