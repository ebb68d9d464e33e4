#include "tools/random_model/random_stream.h"

#include <algorithm>
#include <cstring>

#include "base/rng.h"

namespace plimsoll::random_model {
namespace {

// FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/).
uint64_t HashName(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  }
  return hash;
}

}  // namespace

RandomStream::RandomStream(uint64_t seed, std::string_view name) {
  const auto words = Philox(seed, HashName(name), 0);
  key_ = uint64_t{words[0]} << 32 | words[1];
}

uint64_t RandomStream::Next() {
  if (used_ == buffer_.size()) {
    const auto words = Philox(key_, counter_++, 0);
    buffer_ = {uint64_t{words[1]} << 32 | words[0], uint64_t{words[3]} << 32 | words[2]};
    used_ = 0;
  }
  return buffer_[used_++];
}

uint32_t RandomStream::Below(uint64_t n) { return static_cast<uint32_t>((Next() >> 32) * n >> 32); }

double RandomStream::Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

double RandomStream::Normal() {
  const uint64_t bits = Next();
  const uint64_t sum =
      (bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48);
  // Each of the four has mean 32767.5 and variance (2^32 - 1) / 12.
  constexpr double kScale = 2.6428997921303018e-05;  // sqrt(12 / (4 * (2^32 - 1)))
  return (static_cast<double>(sum) - 4 * 32767.5) * kScale;
}

void RandomStream::Fill(std::span<uint8_t> out) {
  while (!out.empty()) {
    const uint64_t bits = Next();
    const size_t n = std::min(out.size(), sizeof bits);
    std::memcpy(out.data(), &bits, n);
    out = out.subspan(n);
  }
}

}  // namespace plimsoll::random_model
