#include "formats/safetensors/stacks.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/checked.h"
#include "formats/escape.h"
#include "formats/safetensors/mxfp4_conversion.h"
#include "formats/safetensors/stored_value.h"

namespace plimsoll::formats::safetensors {
namespace {

using tensor::DType;

// Where a plain row range becomes a range of the file; more of them are read row by row instead.
constexpr uint64_t kMaxRanges = 1 << 16;

constexpr uint64_t kMxfp4Half = 16;  // bytes of a block's values

constexpr std::string_view kMxfp4Blocks = "_blocks";

// What the scales under this name scale: the end of its name takes the place of theirs.
struct ScaleName {
  std::string_view end;
  std::string_view of;
};
constexpr std::array<ScaleName, 2> kScaleNames = {
    {{".weight_scale_inv", ".weight"}, {"_scales", kMxfp4Blocks}}};

// Of activations, which are not quantized here by what a file says.
bool IsOfActivations(std::string_view name) {
  return name.ends_with(".activation_scale") || name.ends_with(".input_scale");
}

// What llama.cpp wants in F32: vectors, norms, routers, convolutions and biases.
bool IsSmall(std::string_view name, const tensor::Shape& shape) {
  return shape.n_dims == 1 || !name.ends_with(".weight") || name.ends_with("_norm.weight") ||
         name.find("ffn_gate_inp") != std::string_view::npos ||
         name.ends_with(".ssm_conv1d.weight");
}

template <class... Args>
tl::unexpected<Error> BadTensor(const RawTensor& tensor, fmt::format_string<Args...> format,
                                Args&&... args) {
  return Fail(ErrorKind::kBadModel, "tensor '{}': {}", Escape(tensor.name),
              fmt::format(format, std::forward<Args>(args)...));
}

// The stored matrices of one tensor, with the dimensions of a convolution that are 1 left out. A
// vector is a matrix of one column.
StoredStack StackOf(const RawTensor& tensor) {
  std::vector<uint64_t> dims = tensor.dims;
  if (dims.size() == 3 && dims[1] == 1) {
    dims.erase(dims.begin() + 1);
  }
  StoredStack stack;
  stack.n_columns = dims.size() == 1 ? 1 : dims.back();
  stack.n_rows = dims.size() == 1 ? dims[0] : dims[dims.size() - 2];
  stack.n_matrices = 1;
  for (size_t i = 0; i + 2 < dims.size(); ++i) {
    stack.n_matrices *= dims[i];
  }
  return stack;
}

// Fastest dimension first, and a dimension for the matrices of a stack.
tensor::Shape ShapeOf(const MatrixView& view, bool is_vector, bool is_stack, uint64_t n_matrices) {
  tensor::Shape shape;
  if (!is_vector) {
    shape.dims[shape.n_dims++] = view.n_columns;
  }
  shape.dims[shape.n_dims++] = view.n_rows;
  if (is_stack) {
    shape.dims[shape.n_dims++] = n_matrices;
  }
  return shape;
}

// Pieces of the files that hold the view's rows one behind another; nothing where there are too
// many of them.
std::vector<FileRange> RangesOf(const StoredStack& stack, const MatrixView& view,
                                uint64_t row_bytes) {
  std::vector<FileRange> ranges;
  for (const StoredMatrices& matrices : stack.tensors) {
    const StoredTensor& stored = matrices.stored;
    if (view.is_plain()) {
      ranges.push_back({stored.file_idx, stored.tensor.offset, stored.tensor.bytes});
      continue;
    }
    for (uint64_t matrix = 0; matrix < stack.n_matrices; ++matrix) {
      const uint64_t begin = stored.tensor.offset + matrix * stack.n_rows * row_bytes;
      for (uint64_t row = 0; row < view.n_rows;) {
        const uint64_t first = view.rows[row];
        uint64_t n = 1;
        while (row + n < view.n_rows && view.rows[row + n] == first + n) {
          ++n;
        }
        ranges.push_back({stored.file_idx, begin + first * row_bytes, n * row_bytes});
        row += n;
        if (ranges.size() > kMaxRanges) {
          return {};
        }
      }
    }
  }
  return ranges;
}

// Rows that are moved one by one are better read as they are asked for.
bool MovesLongRuns(const MatrixView& view) {
  constexpr uint64_t kShortRun = 16;
  uint64_t n_runs = 1;
  for (size_t i = 1; i < view.rows.size(); ++i) {
    n_runs += view.rows[i] == view.rows[i - 1] + 1 ? 0U : 1U;
  }
  return n_runs * kShortRun <= std::max<uint64_t>(view.n_rows, kShortRun);
}

}  // namespace

void TensorCollector::LeaveOut(std::string_view what, const RawTensor& tensor) {
  auto known = std::ranges::find(left_out_, what, &LeftOut::what);
  if (known == left_out_.end()) {
    known = left_out_.insert(known, {.what = std::string(what)});
  }
  ++known->n_tensors;
  known->bytes += tensor.bytes;
}

Result<> TensorCollector::Add(RawTensor tensor, uint32_t file_idx, const std::string& file_name) {
  for (const auto& [end, of] : kScaleNames) {
    if (tensor.name.ends_with(end)) {
      std::string scaled = tensor.name.substr(0, tensor.name.size() - end.size());
      scaled += of;
      scales_.emplace(std::move(scaled), StoredTensor{std::move(tensor), file_idx});
      return {};
    }
  }
  if (IsOfActivations(tensor.name)) {
    LeaveOut("scales of activations", tensor);
    return {};
  }
  Placement placement =
      Place(*config_.family, config_.dimensions.n_layers, std::string_view(tensor.name));
  if (!placement.is_known()) {
    return Fail(ErrorKind::kBadModel,
                "{}: tensor '{}' is of no layout that Plimsoll knows for {}; convert the model to "
                "GGUF",
                file_name, Escape(tensor.name), config_.family->hugging_face);
  }
  if (placement.targets.empty()) {
    LeaveOut(placement.left_out, tensor);
    return {};
  }
  for (Target& target : placement.targets) {
    auto [entry, is_new] = by_name_.try_emplace(target.name);
    if (is_new) {
      entry->second.is_stack = target.expert.has_value();
      entry->second.change = target.change;
      order_.push_back(std::move(target.name));
    }
    const bool added =
        entry->second.slices.try_emplace(target.expert.value_or(0), StoredTensor{tensor, file_idx})
            .second;
    if (!added) {
      return Fail(ErrorKind::kBadModel, "{}: tensor '{}' is there twice", file_name,
                  Escape(tensor.name));
    }
  }
  return {};
}

Result<> TensorCollector::CheckSlices(const std::string& name, const Collected& from) const {
  const RawTensor& first = from.slices.begin()->second.tensor;
  const auto n_slices = static_cast<uint32_t>(from.slices.size());
  const uint32_t n_experts = config_.dimensions.n_experts;
  if (from.is_stack && (n_slices != n_experts || from.slices.rbegin()->first + 1 != n_slices)) {
    return Fail(ErrorKind::kBadModel,
                "tensor '{}' needs one matrix for each of {} experts; the files have {}, the "
                "last that of expert {}",
                name, n_experts, n_slices, from.slices.rbegin()->first);
  }
  if (first.dims.size() > tensor::Shape::kMaxDims - (from.is_stack ? 2 : 1)) {
    return Fail(ErrorKind::kBadModel, "tensor '{}' has {} dimensions, too many for {}",
                Escape(first.name), first.dims.size(),
                from.is_stack ? "an expert's" : "what it is");
  }
  for (const auto& [expert, slice] : from.slices) {
    if (slice.tensor.dims != first.dims || slice.tensor.type != first.type) {
      return Fail(ErrorKind::kBadModel, "tensors '{}' and '{}' differ in shape or type",
                  Escape(first.name), Escape(slice.tensor.name));
    }
  }
  return {};
}

// 8-bit values come with the factors that they are stored without.
Result<StoredMatrices> TensorCollector::WithScales(const StoredTensor& stored,
                                                   StoredStack& stack) const {
  StoredMatrices matrices = {.stored = stored, .scales = std::nullopt};
  if (stored.tensor.type != StoredType::kF8E4M3) {
    return matrices;
  }
  const auto found = scales_.find(stored.tensor.name);
  if (found == scales_.end()) {
    return BadTensor(stored.tensor, "it is F8_E4M3, and '{}_scale_inv' is not there",
                     Escape(stored.tensor.name));
  }
  const RawTensor& scales = found->second.tensor;
  const bool is_one = config_.scale_blocks.rows == 0;
  stack.block_rows = is_one ? stack.n_rows : config_.scale_blocks.rows;
  stack.block_columns = is_one ? stack.n_columns : config_.scale_blocks.columns;
  const auto n_blocks = [](uint64_t n, uint64_t block) { return n / block + (n % block != 0); };
  const uint64_t expected = stack.n_matrices * n_blocks(stack.n_rows, stack.block_rows) *
                            n_blocks(stack.n_columns, stack.block_columns);
  if (!DTypeOf(scales.type) || scales.bytes / BytesOfValue(scales.type) != expected) {
    return BadTensor(scales, "expected are {} floats, one for each block of '{}'", expected,
                     Escape(stored.tensor.name));
  }
  matrices.scales = found->second;
  return matrices;
}

Result<TensorEntry> TensorCollector::BuildMatrices(const std::string& name,
                                                   const Collected& from) const {
  const RawTensor& first = from.slices.begin()->second.tensor;
  const auto stored_dtype = DTypeOf(first.type);
  const bool is_eight_bits = first.type == StoredType::kF8E4M3;
  if (!stored_dtype && !is_eight_bits) {
    return BadTensor(first,
                     "the dtype \"{}\" is not supported; supported are F32, F16, BF16, "
                     "F8_E4M3",
                     first.type_name);
  }
  StoredStack stack = StackOf(first);
  for (const auto& [expert, slice] : from.slices) {
    auto matrices = WithScales(slice, stack);
    if (!matrices) {
      return Forward(matrices);
    }
    stack.tensors.push_back(*std::move(matrices));
  }
  MatrixView view = {.n_rows = stack.n_rows, .n_columns = stack.n_columns};
  if (from.change != nullptr) {
    if (auto changed = from.change(config_.dimensions, view); !changed) {
      return BadTensor(first, "{}", changed.error().message);
    }
  }
  stack.n_matrices *= view.n_parts;
  stack.n_rows /= view.n_parts;
  if (is_eight_bits && view.n_parts > 1 && stack.n_rows % stack.block_rows != 0) {
    return BadTensor(first, "the {} rows of a head are no whole number of its blocks of {}",
                     stack.n_rows, stack.block_rows);
  }
  const bool is_stack = from.is_stack || stack.n_matrices > 1 || first.dims.size() == 3;
  const bool is_vector = first.dims.size() == 1;
  const bool is_flat = first.dims.size() == 3 && first.dims[1] == 1 && !from.is_stack;
  TensorEntry entry;
  entry.name = name;
  entry.shape =
      ShapeOf(view, is_vector, is_stack && !is_flat, stack.n_matrices * stack.tensors.size());
  const bool widens = is_eight_bits || view.values != ValueChange::kNone ||
                      (IsSmall(name, entry.shape) && *stored_dtype != DType::kF32);
  entry.dtype = widens ? DType::kF32 : *stored_dtype;
  const auto bytes = tensor::BytesFor(entry.dtype, entry.shape.Elements());
  if (!bytes) {
    return BadTensor(first, "it is too large");
  }
  entry.bytes = *bytes;
  const bool moves_rows_alone = !view.transposed && view.columns.empty();
  if (!widens && moves_rows_alone && (view.rows.empty() || MovesLongRuns(view))) {
    entry.ranges = RangesOf(stack, view, view.n_columns * BytesOfValue(first.type));
  }
  if (entry.ranges.empty()) {
    entry.conversion =
        std::make_shared<MatrixConversion>(std::move(stack), std::move(view), widens);
  }
  return entry;
}

Result<TensorEntry> TensorCollector::BuildMxfp4(const std::string& name,
                                                const Collected& from) const {
  const StoredTensor& blocks = from.slices.begin()->second;
  const auto found = scales_.find(blocks.tensor.name);
  if (found == scales_.end()) {
    return BadTensor(blocks.tensor, "its scales are not there");
  }
  const std::vector<uint64_t>& dims = blocks.tensor.dims;
  const StoredTensor& scales = found->second;
  const bool fits = dims.size() == 4 && dims[3] == kMxfp4Half &&
                    scales.tensor.type == StoredType::kU8 &&
                    std::ranges::equal(scales.tensor.dims, std::span(dims).first(3));
  if (!fits) {
    return BadTensor(
        blocks.tensor,
        "expected are blocks [experts, rows, blocks of a row, 16] and a scale of each");
  }
  MatrixView view = {.n_rows = dims[1], .n_columns = dims[2] * 2 * kMxfp4Half};
  if (from.change != nullptr) {
    if (auto changed = from.change(config_.dimensions, view); !changed) {
      return BadTensor(blocks.tensor, "{}", changed.error().message);
    }
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = DType::kMXFP4;
  entry.shape = ShapeOf(view, false, true, dims[0]);
  entry.bytes = *tensor::BytesFor(entry.dtype, entry.shape.Elements());
  entry.conversion = std::make_shared<Mxfp4Conversion>(blocks, scales, std::move(view));
  return entry;
}

Result<TensorEntry> TensorCollector::Build(const std::string& name, const Collected& from) const {
  const RawTensor& first = from.slices.begin()->second.tensor;
  if (first.type == StoredType::kU8 && first.name.ends_with(kMxfp4Blocks)) {
    return BuildMxfp4(name, from);
  }
  if (auto checked = CheckSlices(name, from); !checked) {
    return Forward(checked);
  }
  return BuildMatrices(name, from);
}

Result<> TensorCollector::Finish(Catalogue& catalogue) {
  for (const std::string& name : order_) {
    auto entry = Build(name, by_name_[name]);
    if (!entry) {
      return Forward(entry);
    }
    catalogue.Add(*std::move(entry));
  }
  for (const ConfiguredTensor& tensor : config_.tensors) {
    TensorEntry entry;
    entry.name = tensor.name;
    entry.shape = tensor::MakeShape(tensor.values.size());
    entry.bytes = tensor.values.size() * sizeof(float);
    entry.conversion = std::make_shared<FloatConversion>(tensor.values);
    catalogue.Add(std::move(entry));
  }
  catalogue.left_out = std::move(left_out_);
  return {};
}

}  // namespace plimsoll::formats::safetensors
