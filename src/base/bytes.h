// Amounts of memory as users write and read them; texts as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

// A size that a user gave: an absolute number of bytes, or a share of the model's file.
struct SizeSpec {
  uint64_t bytes = 0;
  double percent = 0;  // above 0: `bytes` is unused

  [[nodiscard]] uint64_t Resolve(uint64_t whole) const;
};

// Reads "123", "64K", "512M", "8G", "1.5GiB", "2T" (powers of 1024) or "25%".
[[nodiscard]] Result<SizeSpec> ParseSize(std::string_view text);

// "7.45 GiB", "512 MiB", "17 B": three significant digits.
[[nodiscard]] std::string FormatBytes(uint64_t bytes);

[[nodiscard]] inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace plimsoll
