#include "io/checksum.h"

#include <fmt/format.h>

#include "base/invariant.h"

// The library's own choice of instructions; inlined it would be what every x86-64 has.
#include <xxh_x86dispatch.h>

namespace plimsoll::io {
namespace {

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

void Digester::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

Digester::Digester() : state_(XXH3_createState()) {
  Invariant(state_ != nullptr, "half a KiB can be allocated");
  Reset();
}

// The library's state serves both lengths alike.
void Digester::Reset() { XXH3_128bits_reset(state_.get()); }

void Digester::Add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

uint64_t Digester::Sum64() const { return XXH3_64bits_digest(state_.get()); }

Digest128 Digester::Sum128() const { return FromLibrary(XXH3_128bits_digest(state_.get())); }

}  // namespace plimsoll::io
