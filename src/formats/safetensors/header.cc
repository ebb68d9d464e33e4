#include "formats/safetensors/header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>

#include "base/checked.h"
#include "formats/escape.h"
#include "formats/json_document.h"

namespace plimsoll::formats::safetensors {
namespace {

using simdjson::dom::element;

constexpr uint64_t kLengthBytes = 8;
constexpr size_t kMaxStoredDims = 8;  // those of images have five
constexpr std::string_view kMetadataKey = "__metadata__";

template <class... Args>
tl::unexpected<Error> Bad(const io::File& file, std::string_view tensor,
                          fmt::format_string<Args...> format, Args&&... args) {
  return Fail(ErrorKind::kBadModel, "{}: tensor '{}': {}", file.name(), Escape(tensor),
              fmt::format(format, std::forward<Args>(args)...));
}

Result<uint64_t> ReadHeaderBytes(const io::File& file) {
  if (file.size() < kLengthBytes) {
    return Fail(ErrorKind::kBadModel, "{}: header length: the file ends after {} bytes (at byte 0)",
                file.name(), file.size());
  }
  uint64_t bytes = 0;
  auto read = file.ReadAt(0, std::as_writable_bytes(std::span(&bytes, 1)));
  if (!read) {
    return Forward(read);
  }
  if (bytes > kMaxHeaderBytes) {
    return Fail(ErrorKind::kBadModel,
                "{}: header length: {} is more than the {} that are allowed (at byte 0)",
                file.name(), bytes, kMaxHeaderBytes);
  }
  if (bytes > file.size() - kLengthBytes) {
    return Fail(ErrorKind::kBadModel,
                "{}: header length: {} bytes do not fit into the {} that are left of the file (at "
                "byte 0)",
                file.name(), bytes, file.size() - kLengthBytes);
  }
  return bytes;
}

struct TypeOfFormat {
  std::string_view name;
  uint64_t bytes;  // of a value
  StoredType type = StoredType::kOther;
};

// Names are exact: "f16" is none.
constexpr std::array<TypeOfFormat, 16> kTypes = {{{"F32", 4, StoredType::kF32},
                                                  {"F16", 2, StoredType::kF16},
                                                  {"BF16", 2, StoredType::kBF16},
                                                  {"F8_E4M3", 1, StoredType::kF8E4M3},
                                                  {"U8", 1, StoredType::kU8},
                                                  {"F8_E5M2", 1},
                                                  {"F8_E8M0", 1},
                                                  {"I8", 1},
                                                  {"BOOL", 1},
                                                  {"I16", 2},
                                                  {"U16", 2},
                                                  {"I32", 4},
                                                  {"U32", 4},
                                                  {"F64", 8},
                                                  {"I64", 8},
                                                  {"U64", 8}}};

std::optional<std::vector<uint64_t>> Integers(const JsonObject& object, std::string_view key) {
  simdjson::dom::array array;
  if (object.raw().at_key(key).get_array().get(array) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  std::vector<uint64_t> integers;
  for (const element item : array) {
    uint64_t number = 0;
    if (item.get_uint64().get(number) != simdjson::SUCCESS) {
      return std::nullopt;
    }
    integers.push_back(number);
  }
  return integers;
}

// The bytes of the shape; nullopt for a 0 or an overflow.
std::optional<uint64_t> BytesOf(uint64_t value_bytes, const std::vector<uint64_t>& dims) {
  uint64_t bytes = value_bytes;
  for (const uint64_t dim : dims) {
    const auto product = CheckedMul(bytes, dim);
    if (dim == 0 || !product) {
      return std::nullopt;
    }
    bytes = *product;
  }
  return bytes;
}

Result<RawTensor> ReadTensor(const io::File& file, std::string_view name, element value,
                             uint64_t data_begin) {
  simdjson::dom::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return Bad(file, name, "expected an object");
  }
  const JsonObject entry(fmt::format("{}: tensor '{}'", file.name(), Escape(name)), object);
  auto type = entry.String("dtype");
  if (!type) {
    return Forward(type);
  }
  const auto* known = std::ranges::find(kTypes, type->value_or(""), &TypeOfFormat::name);
  if (known == kTypes.end()) {
    return Bad(file, name, "the dtype \"{}\" is none of the format's", Escape(type->value_or("")));
  }
  auto dims = Integers(entry, "shape");
  if (!dims || dims->size() > kMaxStoredDims) {
    return Bad(file, name, "'shape' must be a list of up to {} integers", kMaxStoredDims);
  }
  if (dims->empty()) {
    dims->push_back(1);  // a scalar
  }
  const auto bytes = BytesOf(known->bytes, *dims);
  if (!bytes) {
    return Bad(file, name, "its shape has a 0 or overflows");
  }
  const auto offsets = Integers(entry, "data_offsets");
  if (!offsets || offsets->size() != 2) {
    return Bad(file, name, "'data_offsets' must be two integers");
  }
  const uint64_t begin = (*offsets)[0];
  const uint64_t end = (*offsets)[1];
  if (begin > end || end > file.size() - data_begin) {
    return Bad(file, name, "its data_offsets [{}, {}] are not inside the {} bytes of data", begin,
               end, file.size() - data_begin);
  }
  if (end - begin != *bytes) {
    return Bad(file, name, "its data_offsets hold {} bytes, its shape {}", end - begin, *bytes);
  }
  return RawTensor{.name = std::string(name),
                   .type = known->type,
                   .type_name = std::string(known->name),
                   .dims = *std::move(dims),
                   .offset = data_begin + begin,
                   .bytes = *bytes};
}

// From `data_begin` to the end of the file, each tensor beginning where the one before ends.
Result<> CheckContiguous(const io::File& file, const std::vector<RawTensor>& tensors,
                         uint64_t data_begin) {
  uint64_t expected = data_begin;
  for (const RawTensor& tensor : tensors) {
    if (tensor.offset != expected) {
      return Bad(file, tensor.name, "its data begins at byte {}, that before it ends at byte {}",
                 tensor.offset, expected);
    }
    expected += tensor.bytes;
  }
  if (expected != file.size()) {
    return Fail(ErrorKind::kBadModel, "{}: its tensors end at byte {}, the file at byte {}",
                file.name(), expected, file.size());
  }
  return {};
}

bool IsRotaryTable(const RawTensor& tensor) {
  return tensor.name.ends_with(".rotary_emb.inv_freq");
}

}  // namespace

std::optional<tensor::DType> DTypeOf(StoredType type) {
  switch (type) {
    case StoredType::kF32:
      return tensor::DType::kF32;
    case StoredType::kF16:
      return tensor::DType::kF16;
    case StoredType::kBF16:
      return tensor::DType::kBF16;
    case StoredType::kF8E4M3:
    case StoredType::kU8:
    case StoredType::kOther:
      return std::nullopt;
  }
  return std::nullopt;
}

Result<std::vector<RawTensor>> ReadHeader(const io::File& file) {
  auto header_bytes = ReadHeaderBytes(file);
  if (!header_bytes) {
    return Forward(header_bytes);
  }
  auto document = JsonDocument::Parse(file, kLengthBytes, *header_bytes, kMaxHeaderBytes);
  if (!document) {
    return Forward(document);
  }
  const uint64_t data_begin = kLengthBytes + *header_bytes;
  std::vector<RawTensor> tensors;
  std::unordered_set<std::string_view> names;
  for (const auto [name, value] : document->root().raw()) {
    if (!names.insert(name).second) {
      return Bad(file, name, "is there twice");
    }
    if (name == kMetadataKey) {
      continue;
    }
    if (tensors.size() == kMaxTensors) {
      return Fail(ErrorKind::kBadModel, "{}: more than {} tensors", file.name(), kMaxTensors);
    }
    auto tensor = ReadTensor(file, name, value, data_begin);
    if (!tensor) {
      return Forward(tensor);
    }
    tensors.push_back(*std::move(tensor));
  }
  std::ranges::sort(tensors, {}, &RawTensor::offset);
  auto contiguous = CheckContiguous(file, tensors, data_begin);
  if (!contiguous) {
    return Forward(contiguous);
  }
  std::erase_if(tensors, IsRotaryTable);
  return tensors;
}

}  // namespace plimsoll::formats::safetensors
