// FNV-1a (Fowler, Noll, Vo), 64 bits: against accidents, not against people.
#pragma once

#include <cstdint>
#include <string_view>

namespace plimsoll {

[[nodiscard]] constexpr uint64_t Fnv1a(std::string_view bytes) {
  uint64_t hash = 0xCBF29CE484222325U;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001B3U;
  }
  return hash;
}

}  // namespace plimsoll
