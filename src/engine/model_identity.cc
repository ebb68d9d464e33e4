#include "engine/model_identity.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/bytes.h"

namespace plimsoll::engine {
namespace {

constexpr uint64_t kSampleBytes = 4096;  // of a tensor

// Raised whenever docs/numerics.md changes bits: what was computed before is not continued.
constexpr uint32_t kArithmetic = 2;

// Everything with its length or its number of bytes, so that no two lists run together.
class IdentityDigest {
 public:
  template <class T>
  void Number(T value) {
    static_assert(std::is_arithmetic_v<T>);
    digester_.Add(std::as_bytes(std::span(&value, 1)));
  }
  void Text(std::string_view text) { Bytes(AsBytes(text)); }
  void Bytes(std::span<const std::byte> bytes) {
    Number<uint64_t>(bytes.size());
    digester_.Add(bytes);
  }
  void Value(const formats::Value& value) {
    Number(static_cast<uint32_t>(value.type));
    std::visit([this](const auto& held) { this->Held(held); }, value.value);
  }
  [[nodiscard]] io::Digest128 Sum() const { return digester_.Sum128(); }

 private:
  template <class T>
  void Held(const T& value) {
    if constexpr (std::is_arithmetic_v<T>) {
      Number(value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      Text(value);
    } else {
      Number(static_cast<uint32_t>(value.element_type));
      std::visit([this](const auto& values) { this->Elements(values); }, value.values);
    }
  }
  template <class T>
  void Elements(const std::vector<T>& values) {
    Number<uint64_t>(values.size());
    for (const T& value : values) {
      Held<T>(value);
    }
  }

  io::Digester digester_;
};

}  // namespace

Result<io::Digest128> ModelIdentity(const formats::Catalogue& catalogue, bool long_factors) {
  IdentityDigest digest;
  digest.Number(kArithmetic);
  if (long_factors) {
    digest.Text("LongRoPE's long factors");
  }
  for (const std::string& key : catalogue.metadata.keys()) {
    digest.Text(key);
    digest.Value(*catalogue.metadata.Find(key));
  }
  for (const auto& file : catalogue.files) {
    digest.Number(file->size());
  }
  std::vector<std::byte> sample(kSampleBytes);
  for (const formats::TensorEntry& tensor : catalogue.tensors()) {
    digest.Text(tensor.name);
    digest.Number(static_cast<uint32_t>(tensor.dtype));
    for (const uint64_t dim : tensor.shape.dims) {
      digest.Number(dim);
    }
    for (const formats::FileRange& range : tensor.ranges) {
      digest.Number(range.file_idx);
      digest.Number(range.offset);
    }
    if (tensor.ranges.empty()) {
      continue;
    }
    const formats::FileRange& range = tensor.ranges.front();
    const auto part = std::span(sample).first(std::min(range.bytes, kSampleBytes));
    if (auto read = catalogue.files[range.file_idx]->ReadAt(range.offset, part); !read) {
      return Forward(read);
    }
    digest.Bytes(part);
  }
  return digest.Sum();
}

}  // namespace plimsoll::engine
