// What is known of a page's chance to be used again soon: how often and how lately it was used,
// what usually follows the experts of the present token, and what followed in moments like this
// one.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "memory/policy/follow_table.h"
#include "memory/policy/policy.h"
#include "memory/policy/routing_history.h"

namespace plimsoll::memory::policy {

enum class ReuseFeature : uint8_t {
  kRate,    // log of uses a token, with a half-life of kRateHalfLife tokens
  kAge,     // log of 1 + tokens since the last use
  kAlike,   // log of uses a token behind moments like this one
  kFollow,  // log of the chance to be used by the next token, given the present one's experts
};
inline constexpr size_t kNReuseFeatures = 4;
[[nodiscard]] std::string_view ReuseFeatureName(size_t feature);

// Learns from visits. A pass of decoding is one token of time; a chunk of a prompt is at most
// kPromptTokens, however long it is, so that a prompt does not wipe out what decoding has shown.
class ReuseFeatures {
 public:
  static constexpr float kRateHalfLife = 12;
  static constexpr uint32_t kPromptTokens = 16;
  static constexpr uint32_t kPromptTail = 32;  // the tokens of a chunk whose uses make its rates

  explicit ReuseFeatures(const PageLayout& layout);
  // What an object for `layout` takes, to be reserved before it is made.
  [[nodiscard]] static uint64_t Bytes(const PageLayout& layout);

  void Visit(const LayerVisit& visit);
  // The features of a layer's pages as of its last visit: [n_pages of the layer] a feature, written
  // to `features[f]`.
  void Describe(uint32_t layer, std::span<const std::span<float>, kNReuseFeatures> features) const;

  // Tokens of time since the page's last use; kNever for a page that was not used yet.
  static constexpr uint32_t kNever = UINT32_MAX;
  [[nodiscard]] uint32_t Age(PageId page) const;
  // Uses a token, lately.
  [[nodiscard]] float Rate(PageId page) const { return rates_[page.value]; }
  void Warm(std::span<const float> popularity);

 private:
  struct Layer {
    uint32_t now = 0;  // tokens of time that the layer has seen
    FollowTable follow;
  };

  void BeginPass(const LayerVisit& visit);
  void AdvanceRates(uint32_t layer, uint32_t n_tokens, std::span<const float> share);
  void CountUses(const LayerVisit& visit);
  void LearnTokens(const LayerVisit& visit, uint64_t first_token);
  void Predict(const LayerVisit& visit, uint64_t token);

  const PageLayout& layout_;
  RoutingHistory history_;
  std::vector<Layer> layers_;
  std::vector<float> rates_;        // [n_pages]
  std::vector<uint32_t> last_use_;  // [n_pages], in the layer's time; kNever
  std::vector<float> alike_;        // [n_pages], as of the layer's last visit
  std::vector<float> follow_;
  std::vector<float> share_;  // scratch: a layer's pages
  uint64_t step_ = UINT64_MAX;
  uint64_t next_token_ = 0;  // number of the first token of the next pass
  uint64_t end_token_ = 0;   // behind the tokens of this pass
};

}  // namespace plimsoll::memory::policy
