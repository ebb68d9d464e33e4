// Which experts of a layer follow which: counts of pairs (an expert of a token, an expert of one of
// the next tokens), learned as the routers speak.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll::memory::policy {

class FollowTable {
 public:
  // Counts the followers within `n_lags` tokens. Takes n_experts * (n_experts + 1) bytes.
  FollowTable(uint32_t n_experts, uint32_t n_lags);

  // `followers` came `lag` tokens behind `context`, 1 ... n_lags.
  void Add(std::span<const uint16_t> context, std::span<const uint16_t> followers, uint32_t lag);
  // Writes to `expected` how many of the next n_lags tokens use each expert after `context`, a mean
  // over its experts. Where little has been seen, `rate` (uses a token) stands in: it counts as
  // much as two occurrences.
  void Expect(std::span<const uint16_t> context, std::span<const float> rate,
              std::span<float> expected) const;

 private:
  [[nodiscard]] uint8_t* row(uint16_t expert) { return counts_.data() + size_t{expert} * n_; }
  [[nodiscard]] const uint8_t* row(uint16_t expert) const {
    return counts_.data() + size_t{expert} * n_;
  }
  void Halve(uint16_t expert);

  uint32_t n_;
  uint32_t n_lags_;
  std::vector<uint8_t> counts_;  // [n_experts][n_experts]
  std::vector<uint8_t> n_seen_;  // [n_experts]: occurrences that had a follower
};

}  // namespace plimsoll::memory::policy
