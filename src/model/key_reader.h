// Hyper-parameters of one architecture from a file's metadata.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/metadata.h"

namespace plimsoll::model {

// Beyond anything that exists; they keep every product of two of them inside 64 bits and tables of
// their size small.
inline constexpr uint32_t kMaxLayers = 4096;
inline constexpr uint32_t kMaxDim = 1U << 24;
inline constexpr uint32_t kMaxHeads = 1U << 16;
inline constexpr uint32_t kMaxHeadDim = 4096;
inline constexpr uint32_t kMaxExperts = 1U << 16;

// Reads keys "<prefix>.<key>" and checks that numbers lie in their range. The first error is kept;
// what is read after it is harmless and means nothing.
class KeyReader {
 public:
  KeyReader(const formats::Metadata& metadata, std::string prefix)
      : metadata_(metadata), prefix_(std::move(prefix)) {}

  [[nodiscard]] std::string Key(std::string_view key) const {
    return fmt::format("{}.{}", prefix_, key);
  }
  [[nodiscard]] bool Has(std::string_view key) const { return metadata_.Has(Key(key)); }

  uint32_t U32(std::string_view key, uint32_t min, uint32_t max) {
    return InRange(key, Take(metadata_.U32(Key(key))), min, max);
  }
  uint32_t U32Or(std::string_view key, uint32_t fallback, uint32_t min, uint32_t max) {
    return InRange(key, Take(metadata_.U32Or(Key(key), fallback)), min, max);
  }
  std::vector<uint32_t> PerLayer(std::string_view key, uint32_t n, uint32_t min, uint32_t max) {
    auto values = Take(metadata_.U32PerLayer(Key(key), n));
    values.resize(n, min);
    for (uint32_t& value : values) {
      value = InRange(key, value, min, max);
    }
    return values;
  }
  double F64Or(std::string_view key, double fallback, double min, double max) {
    const double value = Take(metadata_.F32Or(Key(key), static_cast<float>(fallback)));
    if (!(value >= min && value <= max)) {
      Note(Error{ErrorKind::kBadModel,
                 fmt::format("{} is {}, not between {} and {}", Key(key), value, min, max)});
      return fallback;
    }
    // A key that is not there must not round the fallback to a float.
    return Has(key) ? value : fallback;
  }
  bool BoolOr(std::string_view key, bool fallback) {
    return Take(metadata_.BoolOr(Key(key), fallback));
  }
  std::string StringOr(std::string_view key, std::string_view fallback) {
    return std::string(Take(metadata_.StringOr(Key(key), fallback)));
  }
  void Note(Error error) {
    if (!error_) {
      error_ = std::move(error);
    }
  }
  // The first error, if there was one.
  [[nodiscard]] Result<> status() const {
    return error_ ? Result<>(tl::unexpected(*error_)) : Result<>();
  }

 private:
  template <class T>
  T Take(Result<T> result) {
    if (!result) {
      Note(std::move(result).error());
      return T{};
    }
    return std::move(*result);
  }
  uint32_t InRange(std::string_view key, uint32_t value, uint32_t min, uint32_t max) {
    if (value < min || value > max) {
      Note(Error{ErrorKind::kBadModel,
                 fmt::format("{} is {}, not between {} and {}", Key(key), value, min, max)});
      return min;
    }
    return value;
  }

  const formats::Metadata& metadata_;
  std::string prefix_;
  std::optional<Error> error_;
};

}  // namespace plimsoll::model
