// Spells out GGUF files field by field, right or wrong, for tests.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf/reader.h"
#include "formats/metadata.h"
#include "io/file.h"
#include "tensor/dtype.h"

namespace plimsoll::formats::gguf {

class RawFile {
 public:
  RawFile() = default;
  // Magic, version 3 and the two counts.
  RawFile(uint64_t n_tensors, uint64_t n_keys) {
    Bytes("GGUF").Put<uint32_t>(3).Put<uint64_t>(n_tensors).Put<uint64_t>(n_keys);
  }

  // A number that was put, by where it stands.
  struct Field {
    uint64_t offset = 0;
    uint64_t bytes = 0;
  };

  template <class T>
  RawFile& Put(T value) {
    fields_.push_back({bytes_.size(), sizeof(T)});
    const auto raw = std::bit_cast<std::array<char, sizeof(T)>>(value);
    bytes_.append(raw.data(), raw.size());
    return *this;
  }
  RawFile& Bytes(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  RawFile& String(std::string_view text) { return Put<uint64_t>(text.size()).Bytes(text); }
  RawFile& Key(std::string_view key, ValueType type) {
    return String(key).Put(static_cast<uint32_t>(type));
  }
  RawFile& KeyU32(std::string_view key, uint32_t value) {
    return Key(key, ValueType::kU32).Put(value);
  }
  RawFile& KeyString(std::string_view key, std::string_view value) {
    return Key(key, ValueType::kString).String(value);
  }
  RawFile& KeyArray(std::string_view key, ValueType element, uint64_t n) {
    return Key(key, ValueType::kArray).Put(static_cast<uint32_t>(element)).Put(n);
  }
  RawFile& Tensor(std::string_view name, std::initializer_list<uint64_t> dims, tensor::DType dtype,
                  uint64_t offset) {
    String(name).Put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) {
      Put(dim);
    }
    return Put(static_cast<uint32_t>(dtype)).Put(offset);
  }
  // Zeros up to the next multiple of `alignment`, then `data_bytes` more.
  RawFile& Data(uint64_t data_bytes, uint64_t alignment = 32) {
    const uint64_t begin = (bytes_.size() + alignment - 1) / alignment * alignment;
    bytes_.resize(begin + data_bytes);
    return *this;
  }

  [[nodiscard]] const std::vector<Field>& fields() const { return fields_; }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] uint64_t size() const { return bytes_.size(); }
  [[nodiscard]] std::shared_ptr<const io::File> File(std::string name = "raw.gguf") const {
    return io::File::FromBytes(std::move(name), std::as_bytes(std::span(bytes_))).value();
  }
  [[nodiscard]] Result<Catalogue> Read() const { return gguf::Read(File()); }

 private:
  std::string bytes_;
  std::vector<Field> fields_;
};

}  // namespace plimsoll::formats::gguf
