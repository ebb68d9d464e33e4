// Which experts follow which: counts of pairs (an expert of a token, an expert of the next one or
// of the next layer), learned as the routers speak.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll::memory::policy {

class FollowTable {
 public:
  // Of experts of a layer that follow one another; takes n_experts * (n_experts + 1) bytes.
  explicit FollowTable(uint32_t n_experts) : FollowTable(n_experts, n_experts) {}
  // Takes n_before * (n_now + 1) bytes.
  FollowTable(uint32_t n_before, uint32_t n_now);

  // A token went to `now`, the one before it to `before`.
  void Add(std::span<const uint16_t> before, std::span<const uint16_t> now);
  // Writes to `expected` each expert's chance to be used by the token behind one that went to
  // `now`, a mean over its experts. Where little has been seen, `rate` (uses a token) stands in: it
  // counts as much as two occurrences.
  void Expect(std::span<const uint16_t> now, std::span<const float> rate,
              std::span<float> expected) const;
  // The same, added to what `expected` has.
  void ExpectMore(std::span<const uint16_t> now, std::span<const float> rate,
                  std::span<float> expected) const;

 private:
  void Halve(uint16_t expert);

  uint32_t n_;                   // of those that follow
  std::vector<uint8_t> counts_;  // [n_before][n_]
  std::vector<uint8_t> n_seen_;  // [n_before]: occurrences behind which something was seen
};

}  // namespace plimsoll::memory::policy
