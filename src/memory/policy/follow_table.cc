#include "memory/policy/follow_table.h"

#include <algorithm>

namespace plimsoll::memory::policy {
namespace {

constexpr float kPriorOccurrences = 2;
constexpr uint8_t kCountMax = 255;

}  // namespace

FollowTable::FollowTable(uint32_t n_experts, uint32_t n_lags)
    : n_(n_experts), n_lags_(n_lags), counts_(size_t{n_experts} * n_experts, 0), n_seen_(n_, 0) {}

// Old pairs fade when a count is full.
void FollowTable::Halve(uint16_t expert) {
  n_seen_[expert] = static_cast<uint8_t>(n_seen_[expert] / 2);
  std::for_each_n(row(expert), n_, [](uint8_t& count) { count = static_cast<uint8_t>(count / 2); });
}

void FollowTable::Add(std::span<const uint16_t> context, std::span<const uint16_t> followers,
                      uint32_t lag) {
  for (const uint16_t expert : context) {
    uint8_t* const counts = row(expert);
    if (lag == 1) {
      if (n_seen_[expert] == kCountMax) {
        Halve(expert);
      }
      ++n_seen_[expert];
    }
    for (const uint16_t follower : followers) {
      if (counts[follower] == kCountMax) {
        Halve(expert);
      }
      ++counts[follower];
    }
  }
}

void FollowTable::Expect(std::span<const uint16_t> context, std::span<const float> rate,
                         std::span<float> expected) const {
  const float prior = kPriorOccurrences * static_cast<float>(n_lags_);
  std::ranges::fill(expected, 0.0F);
  for (const uint16_t expert : context) {
    const uint8_t* const counts = row(expert);
    const float share = 1 / (static_cast<float>(context.size()) *
                             (static_cast<float>(n_seen_[expert]) + kPriorOccurrences));
    for (uint32_t i = 0; i < n_; ++i) {
      expected[i] += share * (static_cast<float>(counts[i]) + prior * rate[i]);
    }
  }
}

}  // namespace plimsoll::memory::policy
