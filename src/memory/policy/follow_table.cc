#include "memory/policy/follow_table.h"

#include <algorithm>

namespace plimsoll::memory::policy {
namespace {

constexpr float kPriorOccurrences = 2;
constexpr uint8_t kCountMax = 255;

}  // namespace

FollowTable::FollowTable(uint32_t n_before, uint32_t n_now)
    : n_(n_now), counts_(size_t{n_before} * n_now, 0), n_seen_(n_before, 0) {}

// A pair is counted at most once an occurrence, so no count outgrows n_seen_. When that is full,
// all of the expert's are halved: old pairs fade.
void FollowTable::Halve(uint16_t expert) {
  n_seen_[expert] = static_cast<uint8_t>(n_seen_[expert] / 2);
  std::for_each_n(counts_.begin() + static_cast<ptrdiff_t>(size_t{expert} * n_), n_,
                  [](uint8_t& count) { count = static_cast<uint8_t>(count / 2); });
}

void FollowTable::Add(std::span<const uint16_t> before, std::span<const uint16_t> now) {
  for (const uint16_t expert : before) {
    if (n_seen_[expert] == kCountMax) {
      Halve(expert);
    }
    ++n_seen_[expert];
    uint8_t* const counts = counts_.data() + size_t{expert} * n_;
    for (const uint16_t follower : now) {
      ++counts[follower];
    }
  }
}

void FollowTable::Expect(std::span<const uint16_t> now, std::span<const float> rate,
                         std::span<float> expected) const {
  std::ranges::fill(expected, 0.0F);
  ExpectMore(now, rate, expected);
}

void FollowTable::ExpectMore(std::span<const uint16_t> now, std::span<const float> rate,
                             std::span<float> expected) const {
  for (const uint16_t expert : now) {
    const uint8_t* const counts = counts_.data() + size_t{expert} * n_;
    const float share = 1 / (static_cast<float>(now.size()) *
                             (static_cast<float>(n_seen_[expert]) + kPriorOccurrences));
    for (uint32_t i = 0; i < n_; ++i) {
      expected[i] += share * (static_cast<float>(counts[i]) + kPriorOccurrences * rate[i]);
    }
  }
}

}  // namespace plimsoll::memory::policy
