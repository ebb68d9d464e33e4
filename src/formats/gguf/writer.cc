#include "formats/gguf/writer.h"

#include <array>
#include <bit>
#include <concepts>
#include <cstring>
#include <unordered_set>
#include <utility>
#include <variant>

#include "base/checked.h"
#include "formats/escape.h"
#include "formats/gguf/limits.h"

namespace plimsoll::formats::gguf {
namespace {

// Grows a header by little-endian values.
class Encoder {
 public:
  template <class T>
  void Put(T value) {
    static_assert(std::endian::native == std::endian::little);
    const auto raw = std::bit_cast<std::array<char, sizeof(T)>>(value);
    bytes_.append(raw.data(), raw.size());
  }

  void PutString(std::string_view text) {
    Put<uint64_t>(text.size());
    bytes_ += text;
  }

  void PadTo(uint64_t alignment) { bytes_.resize(AlignUp<uint64_t>(bytes_.size(), alignment)); }

  // False when the value does not fit its type.
  template <std::integral Integer>
  [[nodiscard]] bool PutValue(ValueType type, Integer value) {
    switch (type) {
      case ValueType::kU8:
        return PutAs<uint8_t>(value);
      case ValueType::kI8:
        return PutAs<int8_t>(value);
      case ValueType::kU16:
        return PutAs<uint16_t>(value);
      case ValueType::kI16:
        return PutAs<int16_t>(value);
      case ValueType::kU32:
        return PutAs<uint32_t>(value);
      case ValueType::kI32:
        return PutAs<int32_t>(value);
      case ValueType::kU64:
        return PutAs<uint64_t>(value);
      case ValueType::kI64:
        return PutAs<int64_t>(value);
      default:
        return false;
    }
  }
  [[nodiscard]] bool PutValue(ValueType type, double value) {
    if (type == ValueType::kF32) {
      Put(static_cast<float>(value));
    } else if (type == ValueType::kF64) {
      Put(value);
    } else {
      return false;
    }
    return true;
  }
  [[nodiscard]] bool PutValue(ValueType type, bool value) {
    Put<uint8_t>(value ? 1 : 0);
    return type == ValueType::kBool;
  }
  [[nodiscard]] bool PutValue(ValueType type, const std::string& value) {
    PutString(value);
    return type == ValueType::kString;
  }
  [[nodiscard]] bool PutValue(ValueType type, const Array& array) {
    Put(static_cast<uint32_t>(array.element_type));
    Put<uint64_t>(array.size());
    const auto put_all = [&](const auto& elements) {
      for (const auto& element : elements) {
        if (!PutValue(array.element_type, element)) {
          return false;
        }
      }
      return true;
    };
    return std::visit(put_all, array.values) && type == ValueType::kArray;
  }

  [[nodiscard]] std::string Take() && { return std::move(bytes_); }

 private:
  template <class T, class Number>
  bool PutAs(Number value) {
    const auto fitting = CheckedCast<T>(value);
    if (fitting) {
      Put(*fitting);
    }
    return fitting.has_value();
  }

  std::string bytes_;
};

Result<> EncodeMetadata(Encoder& encoder, const Metadata& metadata) {
  for (const std::string& key : metadata.keys()) {
    const Value& value = *metadata.Find(key);
    encoder.PutString(key);
    encoder.Put(static_cast<uint32_t>(value.type));
    const auto put = [&](const auto& held) { return encoder.PutValue(value.type, held); };
    if (key.empty() || key.size() > kMaxKeyBytes || !std::visit(put, value.value)) {
      return Fail(ErrorKind::kFailed, "the key '{}' cannot be written: its value does not fit {}",
                  Escape(key), ValueTypeName(value.type));
    }
  }
  return {};
}

Result<uint32_t> AlignmentOf(const Metadata& metadata) {
  auto alignment = metadata.U32Or(kKeyAlignment, kDefaultAlignment);
  if (!alignment || !std::has_single_bit(*alignment) || *alignment < kMinAlignment ||
      *alignment > kMaxAlignment) {
    return Fail(ErrorKind::kFailed, "'{}' must be a power of two from {} to {}", kKeyAlignment,
                kMinAlignment, kMaxAlignment);
  }
  return alignment;
}

// Bytes of the tensor; nullopt for a shape that no reader accepts.
std::optional<uint64_t> BytesOf(const TensorDeclaration& tensor) {
  uint64_t elements = 1;
  for (const uint64_t dim : tensor.shape.dims) {
    const auto product = CheckedMul(elements, dim);
    if (dim == 0 || !product) {
      return std::nullopt;
    }
    elements = *product;
  }
  const bool whole_rows = tensor.shape.dims[0] % tensor::Traits(tensor.dtype).block_elements == 0;
  return whole_rows && tensor.shape.n_dims >= 1 ? tensor::BytesFor(tensor.dtype, elements)
                                                : std::nullopt;
}

Result<> EncodeTensors(Encoder& encoder, std::span<const TensorDeclaration> tensors,
                       Header& header) {
  std::unordered_set<std::string_view> names;
  uint64_t offset = 0;
  for (const TensorDeclaration& tensor : tensors) {
    const bool named = !tensor.name.empty() && tensor.name.size() <= kMaxTensorNameBytes &&
                       names.insert(tensor.name).second;
    const auto bytes = BytesOf(tensor);
    const auto end = bytes ? CheckedAdd(offset, *bytes) : std::nullopt;
    const auto next = end ? CheckedAlignUp<uint64_t>(*end, header.alignment) : std::nullopt;
    if (!named || !next) {
      return Fail(
          ErrorKind::kFailed,
          "the tensor '{}' {} {} cannot be written: its name is too long or there twice, or "
          "its rows are no whole blocks",
          Escape(tensor.name), tensor::Traits(tensor.dtype).name, tensor.shape.ToString());
    }
    encoder.PutString(tensor.name);
    encoder.Put(tensor.shape.n_dims);
    for (uint32_t i = 0; i < tensor.shape.n_dims; ++i) {
      encoder.Put(tensor.shape.dims[i]);
    }
    encoder.Put(static_cast<uint32_t>(tensor.dtype));
    encoder.Put(offset);
    header.tensor_bytes.push_back(*bytes);
    offset = *next;
  }
  return {};
}

}  // namespace

Result<Header> EncodeHeader(const Metadata& metadata, std::span<const TensorDeclaration> tensors) {
  auto alignment = AlignmentOf(metadata);
  if (!alignment) {
    return Forward(alignment);
  }
  Header header;
  header.alignment = *alignment;
  Encoder encoder;
  for (const char c : kMagic) {
    encoder.Put(c);
  }
  encoder.Put(kNewestVersion);
  encoder.Put<uint64_t>(tensors.size());
  encoder.Put<uint64_t>(metadata.keys().size());
  auto encoded = EncodeMetadata(encoder, metadata).and_then([&] {
    return EncodeTensors(encoder, tensors, header);
  });
  if (!encoded) {
    return Forward(encoded);
  }
  encoder.PadTo(header.alignment);
  header.bytes = std::move(encoder).Take();
  return header;
}

Writer::Writer(io::AtomicFile file, Header header, std::vector<std::string> names)
    : file_(std::move(file)),
      alignment_(header.alignment),
      tensor_bytes_(std::move(header.tensor_bytes)),
      names_(std::move(names)) {}

Result<Writer> Writer::Create(const std::filesystem::path& path, const Metadata& metadata,
                              std::span<const TensorDeclaration> tensors) {
  auto header = EncodeHeader(metadata, tensors);
  if (!header) {
    return Forward(header);
  }
  auto file = io::AtomicFile::Create(path);
  if (!file) {
    return Forward(file);
  }
  auto written = file->Append(std::as_bytes(std::span(header->bytes)));
  if (!written) {
    return Forward(written);
  }
  std::vector<std::string> names;
  for (const TensorDeclaration& tensor : tensors) {
    names.push_back(tensor.name);
  }
  return Writer(*std::move(file), *std::move(header), std::move(names));
}

Result<> Writer::Append(std::span<const std::byte> piece) {
  if (piece.empty()) {
    return {};
  }
  if (tensor_idx_ == tensor_bytes_.size()) {
    return Fail(ErrorKind::kFailed, "{}: {} bytes more than its tensors have",
                file_.path().string(), piece.size());
  }
  const uint64_t left = tensor_bytes_[tensor_idx_] - written_bytes_;
  if (piece.size() > left) {
    return Fail(ErrorKind::kFailed, "{}: {} bytes for the tensor '{}', which has {} left",
                file_.path().string(), piece.size(), names_[tensor_idx_], left);
  }
  auto written = file_.Append(piece);
  if (!written) {
    return written;
  }
  written_bytes_ += piece.size();
  if (written_bytes_ < tensor_bytes_[tensor_idx_]) {
    return {};
  }
  ++tensor_idx_;
  written_bytes_ = 0;
  return PadToAlignment();
}

Result<> Writer::PadToAlignment() {
  const std::vector<std::byte> padding(AlignUp<uint64_t>(file_.size(), alignment_) - file_.size());
  return file_.Append(padding);
}

Result<> Writer::Finish() {
  if (tensor_idx_ < tensor_bytes_.size()) {
    return Fail(ErrorKind::kFailed, "{}: the tensor '{}' has {} of its {} bytes",
                file_.path().string(), names_[tensor_idx_], written_bytes_,
                tensor_bytes_[tensor_idx_]);
  }
  return file_.Commit();
}

}  // namespace plimsoll::formats::gguf
