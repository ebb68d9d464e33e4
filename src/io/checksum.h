// Checksums of what lies on disks: XXH3, whose 64-bit form costs less than reading the bytes from
// memory. They find damage; against forgery they are worth nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct XXH3_state_s;  // of the library

namespace plimsoll::io {

// XXH3-64, seed 0.
[[nodiscard]] uint64_t Checksum64(std::span<const std::byte> bytes);

// XXH3-128, seed 0.
struct Digest128 {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const Digest128&, const Digest128&) = default;
};
[[nodiscard]] Digest128 Checksum128(std::span<const std::byte> bytes);
// 32 hexadecimal digits, as `xxhsum -H2` prints them.
[[nodiscard]] std::string Hex(const Digest128& digest);

// Of bytes that come piece by piece. Move-only.
class Digester {
 public:
  Digester();
  void Reset();
  void Add(std::span<const std::byte> bytes);
  // Of all that was added so far; more may follow.
  [[nodiscard]] uint64_t Sum64() const;
  [[nodiscard]] Digest128 Sum128() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace plimsoll::io
