#include "formats/safetensors/stacks.h"

#include <utility>

#include "base/checked.h"
#include "formats/escape.h"
#include "formats/safetensors/tensor_names.h"

namespace plimsoll::formats::safetensors {
namespace {

// Fastest dimension first, and a dimension for the experts of a stack.
tensor::Shape ToShape(const std::vector<uint64_t>& dims, uint32_t n_slices, bool is_stack) {
  tensor::Shape shape;
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    shape.dims[shape.n_dims++] = *dim;
  }
  if (is_stack) {
    shape.dims[shape.n_dims++] = n_slices;
  }
  return shape;
}

}  // namespace

Result<> TensorCollector::Add(const RawTensor& tensor, uint32_t file_idx,
                              const std::string& file_name) {
  auto name = ToGgufName(tensor.name);
  if (!name) {
    return Fail(ErrorKind::kBadModel,
                "{}: tensor '{}' is of no layout that Plimsoll knows; convert the model to GGUF",
                file_name, Escape(tensor.name));
  }
  auto [entry, is_new] = by_name_.try_emplace(name->name);
  if (is_new) {
    entry->second.is_stack = name->expert.has_value();
    order_.push_back(name->name);
  }
  const bool added =
      entry->second.slices.try_emplace(name->expert.value_or(0), Slice{tensor, file_idx}).second;
  if (!added) {
    return Fail(ErrorKind::kBadModel, "{}: tensor '{}' is there twice", file_name,
                Escape(tensor.name));
  }
  return {};
}

Result<TensorEntry> TensorCollector::Build(const std::string& name, const Collected& from,
                                           uint32_t n_experts) {
  const RawTensor& first = from.slices.begin()->second.tensor;
  const auto n_slices = static_cast<uint32_t>(from.slices.size());
  if (from.is_stack && (n_slices != n_experts || from.slices.rbegin()->first + 1 != n_slices)) {
    return Fail(ErrorKind::kBadModel,
                "tensor '{}' needs one matrix for each of {} experts; the files have {}, the "
                "last that of expert {}",
                name, n_experts, n_slices, from.slices.rbegin()->first);
  }
  if (from.is_stack && first.dims.size() >= tensor::Shape::kMaxDims) {
    return Fail(ErrorKind::kBadModel, "tensor '{}' has {} dimensions, too many for an expert's",
                Escape(first.name), first.dims.size());
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = first.dtype;
  entry.shape = ToShape(first.dims, n_slices, from.is_stack);
  for (const auto& [expert, slice] : from.slices) {
    if (slice.tensor.dims != first.dims || slice.tensor.dtype != first.dtype) {
      return Fail(ErrorKind::kBadModel, "tensors '{}' and '{}' differ in shape or type",
                  Escape(first.name), Escape(slice.tensor.name));
    }
    entry.ranges.push_back({slice.file_idx, slice.tensor.offset, slice.tensor.bytes});
    entry.bytes += slice.tensor.bytes;
  }
  return entry;
}

Result<> TensorCollector::Finish(uint32_t n_experts, Catalogue& catalogue) {
  for (const std::string& name : order_) {
    auto entry = Build(name, by_name_[name], n_experts);
    if (!entry) {
      return Forward(entry);
    }
    catalogue.Add(*std::move(entry));
  }
  return {};
}

}  // namespace plimsoll::formats::safetensors
