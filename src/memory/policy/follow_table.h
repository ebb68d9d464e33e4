// Which experts of a layer follow which: counts of pairs (an expert of a token, an expert of the
// next one), learned as the routers speak.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll::memory::policy {

class FollowTable {
 public:
  // Takes n_experts * (n_experts + 1) bytes.
  explicit FollowTable(uint32_t n_experts);

  // A token went to `now`, the one before it to `before`.
  void Add(std::span<const uint16_t> before, std::span<const uint16_t> now);
  // Writes to `expected` each expert's chance to be used by the token behind one that went to
  // `now`, a mean over its experts. Where little has been seen, `rate` (uses a token) stands in: it
  // counts as much as two occurrences.
  void Expect(std::span<const uint16_t> now, std::span<const float> rate,
              std::span<float> expected) const;

 private:
  void Halve(uint16_t expert);

  uint32_t n_;
  std::vector<uint8_t> counts_;  // [n_experts][n_experts]
  std::vector<uint8_t> n_seen_;  // [n_experts]: occurrences that had a next token
};

}  // namespace plimsoll::memory::policy
