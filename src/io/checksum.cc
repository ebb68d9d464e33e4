#include "io/checksum.h"

#include <fmt/format.h>

// The library's own choice of instructions; inlined it would be what every x86-64 has.
#define XXH_STATIC_LINKING_ONLY
#include <xxh_x86dispatch.h>

namespace plimsoll::io {
namespace {

static_assert(sizeof(XXH3_state_t) <= 576 && alignof(XXH3_state_t) <= 64);

Digest128 FromLibrary(XXH128_hash_t hash) { return {.low = hash.low64, .high = hash.high64}; }

}  // namespace

uint64_t Checksum64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

Digest128 Checksum128(std::span<const std::byte> bytes) {
  return FromLibrary(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string Hex(const Digest128& digest) {
  return fmt::format("{:016x}{:016x}", digest.high, digest.low);
}

// The library's state serves both lengths alike.
void Digester::Reset() {
  auto* state = new (state_.data()) XXH3_state_t;
  XXH3_128bits_reset(state);
}

void Digester::Add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(reinterpret_cast<XXH3_state_t*>(state_.data()), bytes.data(), bytes.size());
}

uint64_t Digester::Sum64() const {
  return XXH3_64bits_digest(reinterpret_cast<const XXH3_state_t*>(state_.data()));
}

Digest128 Digester::Sum128() const {
  return FromLibrary(XXH3_128bits_digest(reinterpret_cast<const XXH3_state_t*>(state_.data())));
}

}  // namespace plimsoll::io
