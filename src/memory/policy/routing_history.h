// The routing of the last tokens, to find moments like the present one: text repeats itself, and so
// does its routing.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

// A ring of the experts of the last kTokens tokens in every layer. Tokens have numbers that grow by
// one; a layer may leave tokens out.
class RoutingHistory {
 public:
  static constexpr uint32_t kTokens = 128;
  static constexpr uint32_t kActiveMax = 16;  // of a token's experts are remembered
  static constexpr uint32_t kAhead = 4;       // tokens that a prediction looks ahead

  explicit RoutingHistory(const PageLayout& layout);

  void Add(uint32_t layer, uint64_t token, std::span<const uint32_t> experts);
  // Empty for a token that the layer did not see or that is forgotten.
  [[nodiscard]] std::span<const uint16_t> Of(uint32_t layer, uint64_t token) const;

  // A new present: likeness starts from nothing.
  void BeginPass();
  // Compares the token, which was added as the layer's last, with those before it. To be called
  // layer by layer.
  void Compare(uint32_t layer, uint64_t token);
  // Writes the share of the kAhead tokens behind each earlier moment that used each expert, a mean
  // over the moments in proportion to how like the present they are.
  void Expect(uint32_t layer, uint64_t token, std::span<float> expected) const;

 private:
  struct Entry {
    uint64_t token = UINT64_MAX;
    uint32_t n = 0;
    uint16_t experts[kActiveMax] = {};
  };

  [[nodiscard]] const Entry& At(uint32_t layer, uint64_t token) const {
    return entries_[layer * kTokens + token % kTokens];
  }
  [[nodiscard]] uint64_t OldestBefore(uint64_t token) const {
    return token < kTokens ? 0 : token - kTokens + 1;
  }

  std::vector<Entry> entries_;   // [n_layers][kTokens]
  std::vector<float> likeness_;  // [kTokens]: experts in common, fading from layer to layer
};

}  // namespace plimsoll::memory::policy
