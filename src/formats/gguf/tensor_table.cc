#include "formats/gguf/tensor_table.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include <simdjson.h>

#include "base/checked.h"
#include "formats/dtype_names.h"
#include "formats/escape.h"
#include "formats/gguf/limits.h"

namespace plimsoll::formats::gguf {
namespace {

// Until Place, a range's offset counts from the start of the data section.
struct Table {
  std::vector<TensorEntry> entries;
  std::vector<uint64_t> offset_at;  // byte of each entry's offset field, for errors
};

Result<std::string> ReadName(Cursor& cursor, uint64_t index) {
  cursor.SetField(fmt::format("tensor number {}", index));
  const uint64_t at = cursor.offset();
  auto name = cursor.ReadString(kMaxTensorNameBytes);
  if (!name) {
    return name;
  }
  if (name->empty()) {
    return cursor.Bad(at, "the name is empty");
  }
  if (!simdjson::validate_utf8(*name)) {
    return cursor.Bad(at, "the name \"{}\" is not UTF-8", Escape(*name));
  }
  cursor.SetField(fmt::format("tensor '{}'", Escape(*name)));
  return name;
}

// Dimensions from 1 to 4, none of them 0, whose product fits 64 bits.
Result<tensor::Shape> ReadShape(Cursor& cursor) {
  uint64_t at = cursor.offset();
  auto n_dims = cursor.Read<uint32_t>();
  if (!n_dims) {
    return Forward(n_dims);
  }
  if (*n_dims < 1 || *n_dims > tensor::Shape::kMaxDims) {
    return cursor.Bad(at, "it has {} dimensions; expected 1 to {}", *n_dims,
                      tensor::Shape::kMaxDims);
  }
  tensor::Shape shape;
  shape.n_dims = *n_dims;
  uint64_t elements = 1;
  for (uint32_t i = 0; i < shape.n_dims; ++i) {
    at = cursor.offset();
    auto dim = cursor.Read<uint64_t>();
    if (!dim) {
      return Forward(dim);
    }
    if (*dim == 0) {
      return cursor.Bad(at, "dimension {} is 0", i);
    }
    const auto product = CheckedMul(elements, *dim);
    if (!product) {
      return cursor.Bad(at, "dimension {} is {}: the number of elements overflows", i, *dim);
    }
    elements = *product;
    shape.dims[i] = *dim;
  }
  return shape;
}

Result<tensor::DType> ReadDType(Cursor& cursor) {
  const uint64_t at = cursor.offset();
  auto number = cursor.Read<uint32_t>();
  if (!number) {
    return Forward(number);
  }
  if (const auto dtype = tensor::DTypeFromNumber(*number)) {
    return *dtype;
  }
  const std::string_view name = tensor::GgmlTypeName(*number);
  if (name.empty()) {
    return cursor.Bad(at, "the tensor type {} does not exist; supported are {}", *number,
                      SupportedDTypes());
  }
  if (const std::string_view plain = tensor::PlainTypeOf(*number); !plain.empty()) {
    return cursor.Bad(
        at,
        "the type {} is {} with its rows interleaved for one kind of processor, which "
        "GGUF no longer has; take the model's {} file: it has the same weights, and "
        "they are interleaved when they are loaded",
        name, plain, plain);
  }
  return cursor.Bad(at, "the type {} is not supported; supported are {}", name, SupportedDTypes());
}

Result<uint64_t> TensorBytes(const Cursor& cursor, uint64_t at, tensor::DType dtype,
                             const tensor::Shape& shape) {
  const tensor::DTypeTraits& traits = tensor::Traits(dtype);
  if (shape.dims[0] % traits.block_elements != 0) {
    return cursor.Bad(at, "rows of {} elements are not whole {} blocks of {}", shape.dims[0],
                      traits.name, traits.block_elements);
  }
  const auto bytes = tensor::BytesFor(dtype, shape.Elements());
  if (!bytes) {
    return cursor.Bad(at, "the size of {} {} elements overflows", shape.ToString(), traits.name);
  }
  return *bytes;
}

// Appends one declaration to the table.
Result<> ReadDeclaration(Cursor& cursor, uint32_t alignment, uint32_t file_idx, Table& table) {
  auto name = ReadName(cursor, table.entries.size());
  if (!name) {
    return Forward(name);
  }
  const uint64_t shape_at = cursor.offset();
  auto shape = ReadShape(cursor);
  if (!shape) {
    return Forward(shape);
  }
  auto dtype = ReadDType(cursor);
  if (!dtype) {
    return Forward(dtype);
  }
  auto bytes = TensorBytes(cursor, shape_at, *dtype, *shape);
  if (!bytes) {
    return Forward(bytes);
  }
  const uint64_t at = cursor.offset();
  auto offset = cursor.Read<uint64_t>();
  if (!offset) {
    return Forward(offset);
  }
  if (*offset % alignment != 0) {
    return cursor.Bad(at, "the offset {} is no multiple of the alignment {}", *offset, alignment);
  }
  table.entries.push_back({.name = *std::move(name),
                           .dtype = *dtype,
                           .shape = *shape,
                           .bytes = *bytes,
                           .ranges = {{file_idx, *offset, *bytes}}});
  table.offset_at.push_back(at);
  return {};
}

// The indices of the entries in the order that `key` gives.
template <class Key>
std::vector<size_t> SortedBy(const Table& table, Key key) {
  std::vector<size_t> order(table.entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return key(table.entries[i]); });
  return order;
}

Result<> CheckNamesDiffer(Cursor& cursor, const Table& table) {
  const auto order = SortedBy(table, [](const TensorEntry& e) { return std::string_view(e.name); });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorEntry& second = table.entries[order[i]];
    if (second.name == table.entries[order[i - 1]].name) {
      cursor.SetField(fmt::format("tensor '{}'", Escape(second.name)));
      return cursor.Bad(table.offset_at[order[i]], "the tensor is there twice");
    }
  }
  return {};
}

// Makes every offset one from the start of the file, with the tensor's bytes inside it.
Result<> Place(Cursor& cursor, uint64_t data_begin, uint64_t file_bytes, Table& table) {
  for (size_t i = 0; i < table.entries.size(); ++i) {
    FileRange& range = table.entries[i].ranges.front();
    const auto begin = CheckedAdd(data_begin, range.offset);
    const auto end = begin ? CheckedAdd(*begin, range.bytes) : std::nullopt;
    if (!end || *end > file_bytes) {
      cursor.SetField(fmt::format("tensor '{}'", Escape(table.entries[i].name)));
      return cursor.Bad(table.offset_at[i],
                        "{} bytes at offset {} of the data (which begins at byte {}) reach past "
                        "the file's end of {} bytes; it may be cut short",
                        range.bytes, range.offset, data_begin, file_bytes);
    }
    range.offset = *begin;
  }
  return {};
}

Result<> CheckNoOverlap(Cursor& cursor, const Table& table) {
  const auto order = SortedBy(table, [](const TensorEntry& e) { return e.ranges.front().offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorEntry& before = table.entries[order[i - 1]];
    const TensorEntry& after = table.entries[order[i]];
    if (after.ranges.front().offset < before.ranges.front().offset + before.bytes) {
      cursor.SetField(fmt::format("tensor '{}'", Escape(after.name)));
      return cursor.Bad(table.offset_at[order[i]], "its bytes overlap those of tensor '{}'",
                        Escape(before.name));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<TensorEntry>> ReadTensorTable(Cursor& cursor, uint64_t n_tensors,
                                                 uint32_t alignment, uint64_t file_bytes,
                                                 uint32_t file_idx) {
  Table table;
  table.entries.reserve(n_tensors);
  table.offset_at.reserve(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) {
    auto read = ReadDeclaration(cursor, alignment, file_idx, table);
    if (!read) {
      return Forward(read);
    }
  }
  const uint64_t data_begin = AlignUp<uint64_t>(cursor.offset(), alignment);
  auto checked = CheckNamesDiffer(cursor, table)
                     .and_then([&] { return Place(cursor, data_begin, file_bytes, table); })
                     .and_then([&] { return CheckNoOverlap(cursor, table); });
  if (!checked) {
    return Forward(checked);
  }
  return std::move(table.entries);
}

}  // namespace plimsoll::formats::gguf
