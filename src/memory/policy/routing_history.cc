#include "memory/policy/routing_history.h"

#include <algorithm>

#include "memory/policy/fast_math.h"

namespace plimsoll::memory::policy {
namespace {

constexpr float kFade = 0.9F;       // of likeness, a layer
constexpr float kSharpness = 0.5F;  // a moment with one expert more in common weighs e^0.5 times
constexpr float kWeightMin = 1e-3F;

uint32_t CountCommon(std::span<const uint16_t> a, std::span<const uint16_t> b) {
  uint32_t n = 0;
  for (const uint16_t expert : a) {
    n += std::ranges::find(b, expert) != b.end() ? 1U : 0U;
  }
  return n;
}

}  // namespace

RoutingHistory::RoutingHistory(const PageLayout& layout)
    : entries_(size_t{layout.n_layers()} * kTokens), likeness_(kTokens, 0) {}

void RoutingHistory::Add(uint32_t layer, uint64_t token, std::span<const uint32_t> experts) {
  Entry& entry = entries_[layer * kTokens + token % kTokens];
  entry.token = token;
  entry.n = static_cast<uint32_t>(std::min<size_t>(experts.size(), kActiveMax));
  for (uint32_t i = 0; i < entry.n; ++i) {
    entry.experts[i] = static_cast<uint16_t>(experts[i]);
  }
}

std::span<const uint16_t> RoutingHistory::Of(uint32_t layer, uint64_t token) const {
  const Entry& entry = At(layer, token);
  return entry.token == token ? std::span(entry.experts, entry.n) : std::span<const uint16_t>();
}

void RoutingHistory::BeginPass() { std::ranges::fill(likeness_, 0.0F); }

void RoutingHistory::Compare(uint32_t layer, uint64_t token) {
  const auto now = Of(layer, token);
  for (uint64_t then = OldestBefore(token); then < token; ++then) {
    float& likeness = likeness_[then % kTokens];
    likeness = kFade * likeness + static_cast<float>(CountCommon(now, Of(layer, then)));
  }
}

void RoutingHistory::Expect(uint32_t layer, uint64_t token, std::span<float> expected) const {
  std::ranges::fill(expected, 0.0F);
  const uint64_t oldest = OldestBefore(token);
  float best = 0;
  for (uint64_t then = oldest; then < token; ++then) {
    best = std::max(best, likeness_[then % kTokens]);
  }
  float sum = 0;
  for (uint64_t then = oldest; then < token; ++then) {
    const float weight = FastExp(kSharpness * (likeness_[then % kTokens] - best));
    if (weight < kWeightMin) {
      continue;
    }
    sum += weight;
    for (uint64_t next = then + 1; next <= std::min(then + kAhead, token); ++next) {
      for (const uint16_t expert : Of(layer, next)) {
        expected[expert] += weight;
      }
    }
  }
  if (sum > 0) {
    const float scale = 1 / (sum * static_cast<float>(kAhead));
    std::ranges::for_each(expected, [scale](float& e) { e *= scale; });
  }
}

}  // namespace plimsoll::memory::policy
