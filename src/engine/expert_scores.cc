#include "engine/expert_scores.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "engine/rewrite_model.h"
#include "formats/escape.h"
#include "formats/layer_tensor_name.h"
#include "io/machine.h"
#include "kernels/kernels.h"
#include "kernels/team.h"
#include "tensor/matrix.h"

namespace plimsoll::engine {
namespace {

using formats::TensorEntry;

// Values that are in memory at a time, unless a row has more.
constexpr uint64_t kScoredValues = 1 << 20;

struct Magnitudes {
  double sum = 0;
  double sum_of_squares = 0;
  uint64_t n = 0;

  void Add(const Magnitudes& other) {
    sum += other.sum;
    sum_of_squares += other.sum_of_squares;
    n += other.n;
  }
  [[nodiscard]] double Score() const {
    return sum_of_squares > 0 ? sum / std::sqrt(static_cast<double>(n) * sum_of_squares) : 1.0;
  }
};

Magnitudes MagnitudesOf(std::span<const float> values) {
  Magnitudes result;
  for (const float value : values) {
    result.sum += std::abs(double{value});
    result.sum_of_squares += double{value} * value;
  }
  result.n = values.size();
  return result;
}

using Stacks = std::vector<const TensorEntry*>;

Result<std::map<uint32_t, Stacks>> FindStacks(const formats::Catalogue& catalogue) {
  std::map<uint32_t, Stacks> layers;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    const auto name = formats::ParseLayerTensorName(tensor.name);
    if (!name || !name->rest.ends_with("_exps.weight") || tensor.shape.n_dims != 3) {
      continue;
    }
    Stacks& stacks = layers[name->layer_idx];
    if (!stacks.empty() && stacks.front()->shape.dims[2] != tensor.shape.dims[2]) {
      return Fail(ErrorKind::kBadModel, "'{}' has {} experts, but '{}' {}",
                  formats::Escape(stacks.front()->name), stacks.front()->shape.dims[2],
                  formats::Escape(tensor.name), tensor.shape.dims[2]);
    }
    stacks.push_back(&tensor);
  }
  if (layers.empty()) {
    return Fail(ErrorKind::kUsage, "the model has no experts");
  }
  return layers;
}

class Scorer {
 public:
  Scorer(const formats::Catalogue& catalogue, const ScoreExpertsOptions& options,
         const kernels::KernelSet& kernels, uint64_t bytes_total)
      : catalogue_(catalogue),
        options_(options),
        kernels_(kernels),
        cores_(io::ReadCoreFacts()),
        team_(options.n_threads != 0 ? options.n_threads : cores_.n_usable, cores_.processors),
        values_(team_.n_threads()),
        bytes_total_(bytes_total) {}

  Result<std::vector<double>> Score(const Stacks& stacks) {
    std::vector<Magnitudes> experts(stacks.front()->shape.dims[2]);
    for (const TensorEntry* stack : stacks) {
      if (auto added = AddStack(*stack, experts); !added) {
        return Forward(added);
      }
    }
    std::vector<double> scores;
    for (const Magnitudes& expert : experts) {
      scores.push_back(expert.Score());
    }
    return scores;
  }

 private:
  Result<> AddStack(const TensorEntry& stack, std::vector<Magnitudes>& experts) {
    const uint64_t k = stack.shape.dims[0];
    const uint64_t n_rows = stack.shape.dims[1] * stack.shape.dims[2];
    const uint64_t row_bytes = *tensor::BytesFor(stack.dtype, k);
    const uint64_t most = std::clamp<uint64_t>(kScoredValues / k, 1, n_rows);
    bytes_.resize(most * row_bytes + tensor::kReadablePadding);
    for (std::vector<float>& values : values_) {
      values.resize(k);
    }
    for (uint64_t first = 0; first < n_rows; first += most) {
      const uint64_t n = std::min(most, n_rows - first);
      if (auto read =
              catalogue_.Read(stack, first * row_bytes, std::span(bytes_).first(n * row_bytes));
          !read) {
        return read;
      }
      rows_.assign(n, {});
      const tensor::Matrix piece = {stack.dtype, tensor::Layout::kNative, k, n, bytes_.data()};
      team_.Run(n, [&](size_t row, size_t thread) {
        kernels_.dequantize_row(piece, row, values_[thread].data());
        rows_[row] = MagnitudesOf(values_[thread]);
      });
      for (uint64_t row = 0; row < n; ++row) {
        if (!std::isfinite(rows_[row].sum_of_squares)) {
          return Fail(ErrorKind::kBadModel, "the tensor '{}', row {}: a weight is no number",
                      formats::Escape(stack.name), first + row);
        }
        experts[(first + row) / stack.shape.dims[1]].Add(rows_[row]);
      }
      if (auto counted = OnBytes(n * row_bytes); !counted) {
        return counted;
      }
    }
    return {};
  }

  Result<> OnBytes(uint64_t bytes) {
    bytes_done_ += bytes;
    if (options_.on_progress) {
      options_.on_progress(bytes_done_, bytes_total_);
    }
    if (options_.is_stopped && options_.is_stopped()) {
      return Fail(ErrorKind::kInterrupted, "stopped while experts were scored");
    }
    return {};
  }

  const formats::Catalogue& catalogue_;
  const ScoreExpertsOptions& options_;
  const kernels::KernelSet& kernels_;
  io::CoreFacts cores_;
  kernels::Team team_;
  std::vector<std::byte> bytes_;
  std::vector<std::vector<float>> values_;  // of each thread, a row
  std::vector<Magnitudes> rows_;            // of the piece
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_;
};

}  // namespace

Result<std::vector<LayerScores>> ScoreExperts(const formats::Catalogue& catalogue,
                                              const ScoreExpertsOptions& options) {
  const auto layers = FindStacks(catalogue);
  if (!layers) {
    return tl::unexpected<Error>(layers.error());
  }
  const auto kernels = kernels::SelectKernelSet("");
  if (!kernels) {
    return tl::unexpected<Error>(kernels.error());
  }
  uint64_t bytes_total = 0;
  for (const auto& [layer_idx, stacks] : *layers) {
    for (const TensorEntry* stack : stacks) {
      bytes_total += stack->bytes;
    }
  }
  Scorer scorer(catalogue, options, **kernels, bytes_total);
  std::vector<LayerScores> result;
  for (const auto& [layer_idx, stacks] : *layers) {
    auto scores = scorer.Score(stacks);
    if (!scores) {
      return Forward(scores);
    }
    result.push_back({layer_idx, *std::move(scores)});
  }
  return result;
}

}  // namespace plimsoll::engine
