// Arithmetic on sizes that come from files or sockets: no result is ever wrapped or narrowed.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

namespace plimsoll {

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> CheckedAdd(T a, T b) {
  if (a > std::numeric_limits<T>::max() - b) {
    return std::nullopt;
  }
  return static_cast<T>(a + b);
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> CheckedMul(T a, T b) {
  if (a != 0 && b > std::numeric_limits<T>::max() / a) {
    return std::nullopt;
  }
  return static_cast<T>(a * b);
}

// `alignment` must be a power of two; nullopt when the rounded value does not fit.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> CheckedAlignUp(T value, T alignment) {
  const auto padded = CheckedAdd<T>(value, alignment - 1);
  if (!padded) {
    return std::nullopt;
  }
  return static_cast<T>(*padded & ~static_cast<T>(alignment - 1));
}

template <std::integral To, std::integral From>
[[nodiscard]] constexpr std::optional<To> CheckedCast(From value) {
  if (!std::in_range<To>(value)) {
    return std::nullopt;
  }
  return static_cast<To>(value);
}

// For sizes that are known to be small and positive (our own, already checked): rounds up to a
// multiple of `alignment`, which must be a power of two.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T AlignUp(T value, T alignment) {
  return static_cast<T>((value + alignment - 1) & ~static_cast<T>(alignment - 1));
}

[[nodiscard]] constexpr uint64_t CeilDiv(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

}  // namespace plimsoll
