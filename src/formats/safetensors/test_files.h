// Spells out safetensors files, right or wrong, for tests and fuzz seeds.
#pragma once

#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "io/file.h"

namespace plimsoll::formats::safetensors {

// The length, the JSON, and `data_bytes` zeros.
inline std::string SafetensorsFile(std::string_view json, uint64_t data_bytes) {
  const uint64_t length = json.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  bytes += json;
  bytes.resize(bytes.size() + data_bytes);
  return bytes;
}

// A header for tensors that follow one another, and the file that holds them.
class TensorsJson {
 public:
  TensorsJson& Add(std::string_view name, std::string_view dtype,
                   std::initializer_list<uint64_t> dims) {
    uint64_t bytes = dtype == "F32" ? 4 : 2;
    std::string shape;
    for (const uint64_t dim : dims) {
      bytes *= dim;
      shape += fmt::format("{}{}", shape.empty() ? "" : ",", dim);
    }
    json_ += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                         json_.empty() ? "" : ",", name, dtype, shape, end_, end_ + bytes);
    end_ += bytes;
    return *this;
  }

  [[nodiscard]] std::string File() const { return SafetensorsFile("{" + json_ + "}", end_); }

 private:
  std::string json_;
  uint64_t end_ = 0;
};

inline std::shared_ptr<const io::File> InMemory(std::string name, std::string_view bytes) {
  return io::File::FromBytes(std::move(name), std::as_bytes(std::span(bytes))).value();
}

}  // namespace plimsoll::formats::safetensors
