#include "memory/policy/reuse_features.h"

#include <algorithm>
#include <cmath>

#include "memory/policy/fast_math.h"

namespace plimsoll::memory::policy {
namespace {

// What is added before a logarithm: a rate below it is as good as none.
constexpr float kLeastRate = 0.002F;
constexpr float kLeastExpected = 0.02F;
constexpr float kAgeOfUnused = 60;

constexpr std::array<std::string_view, kNReuseFeatures> kFeatureNames = {"rate", "age", "alike",
                                                                         "follow"};

// Whether the tokens of a visit are consecutive tokens of one sequence.
bool IsSequence(const LayerVisit& visit) {
  return visit.phase == Phase::kPrefill || visit.n_tokens == 1;
}

}  // namespace

std::string_view ReuseFeatureName(size_t feature) { return kFeatureNames[feature]; }

ReuseFeatures::ReuseFeatures(const PageLayout& layout)
    : layout_(layout),
      history_(layout),
      rates_(layout.n_pages(), 0),
      last_use_(layout.n_pages(), kNever),
      alike_(layout.n_pages(), 0),
      follow_(layout.n_pages(), 0) {
  uint32_t widest = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint32_t n = layout.n_pages(layer);
    widest = std::max(widest, n);
    layers_.push_back({0, FollowTable(n)});
  }
  share_.assign(widest, 0);
}

uint64_t ReuseFeatures::Bytes(const PageLayout& layout) {
  uint64_t bytes = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint64_t n = layout.n_pages(layer);
    bytes += n * (n + 1) + sizeof(Layer);
    bytes += uint64_t{RoutingHistory::kTokens} * (RoutingHistory::kActiveMax * 2 + 16);
  }
  return bytes + uint64_t{layout.n_pages()} * 4 * sizeof(float);
}

void ReuseFeatures::Visit(const LayerVisit& visit) {
  if (visit.n_tokens == 0) {
    return;
  }
  if (visit.step != step_) {
    BeginPass(visit);
  }
  CountUses(visit);
  if (IsSequence(visit)) {
    const uint64_t n = std::min<uint64_t>(visit.n_tokens, end_token_);
    LearnTokens(visit, end_token_ - n);
    Predict(visit, end_token_ - 1);
  } else {
    // Tokens of many sequences: what follows what cannot be told, so all pages look alike.
    const uint32_t begin = layout_.begin(visit.layer);
    const uint32_t n = layout_.n_pages(visit.layer);
    std::fill_n(alike_.begin() + begin, n, 0.0F);
    std::copy_n(rates_.begin() + begin, n, follow_.begin() + begin);
  }
}

// The first layer of a pass has all of its tokens; later ones may leave out all but the last.
void ReuseFeatures::BeginPass(const LayerVisit& visit) {
  step_ = visit.step;
  next_token_ = end_token_;
  end_token_ = next_token_ + (IsSequence(visit) ? visit.n_tokens : 1);
  history_.BeginPass();
}

void ReuseFeatures::CountUses(const LayerVisit& visit) {
  const uint32_t begin = layout_.begin(visit.layer);
  const auto share = std::span(share_).first(layout_.n_pages(visit.layer));
  std::ranges::fill(share, 0.0F);
  const bool prompt = visit.phase == Phase::kPrefill;
  const uint32_t n_time = prompt ? std::min(visit.n_tokens, kPromptTokens) : 1;
  const uint32_t n_tail = prompt ? std::min(visit.n_tokens, kPromptTail) : visit.n_tokens;
  uint32_t& now = layers_[visit.layer].now;
  now += n_time;
  const float weight = prompt ? 1 / static_cast<float>(n_tail) : 1;
  for (uint32_t token = visit.n_tokens - n_tail; token < visit.n_tokens; ++token) {
    for (const uint32_t expert : visit.experts_of(token)) {
      // A pass of many sequences either uses a page or does not.
      share[expert] = std::min(1.0F, share[expert] + weight);
    }
  }
  for (uint32_t token = 0; token < visit.n_tokens; ++token) {
    const uint32_t behind =
        prompt ? std::min(visit.n_tokens - 1 - token, std::min(kPromptTail, now)) : 0;
    for (const uint32_t expert : visit.experts_of(token)) {
      last_use_[begin + expert] = now - behind;
    }
  }
  AdvanceRates(visit.layer, n_time, share);
}

void ReuseFeatures::AdvanceRates(uint32_t layer, uint32_t n_tokens, std::span<const float> share) {
  const uint32_t begin = layout_.begin(layer);
  const float keep = FastExp(-0.6931472F * static_cast<float>(n_tokens) / kRateHalfLife);
  float* const rate = rates_.data() + begin;
  for (size_t i = 0; i < share.size(); ++i) {
    rate[i] = keep * rate[i] + (1 - keep) * share[i];
  }
}

// The last tokens only: what lies further back than the history does not matter.
void ReuseFeatures::LearnTokens(const LayerVisit& visit, uint64_t first_token) {
  Layer& layer = layers_[visit.layer];
  const uint32_t skip = visit.n_tokens - std::min(visit.n_tokens, RoutingHistory::kTokens);
  for (uint32_t i = skip; i < visit.n_tokens; ++i) {
    const uint64_t token = first_token + i;
    history_.Add(visit.layer, token, visit.experts_of(i));
    if (token > 0) {
      layer.follow.Add(history_.Of(visit.layer, token - 1), history_.Of(visit.layer, token));
    }
  }
}

void ReuseFeatures::Predict(const LayerVisit& visit, uint64_t token) {
  const uint32_t begin = layout_.begin(visit.layer);
  const uint32_t n = layout_.n_pages(visit.layer);
  const auto rate = std::span<const float>(rates_).subspan(begin, n);
  layers_[visit.layer].follow.Expect(history_.Of(visit.layer, token), rate,
                                     std::span(follow_).subspan(begin, n));
  history_.Compare(visit.layer, token);
  history_.Expect(visit.layer, token, std::span(alike_).subspan(begin, n));
}

uint32_t ReuseFeatures::Age(PageId page) const {
  const uint32_t last = last_use_[page.value];
  return last == kNever ? kNever : layers_[layout_.layer_of(page)].now - last;
}

void ReuseFeatures::Describe(uint32_t layer,
                             std::span<const std::span<float>, kNReuseFeatures> features) const {
  const uint32_t begin = layout_.begin(layer);
  const uint32_t n = layout_.n_pages(layer);
  const uint32_t now = layers_[layer].now;
  const auto log_of = [&](ReuseFeature feature, const std::vector<float>& values, float least) {
    float* const out = features[static_cast<size_t>(feature)].data();
    for (uint32_t i = 0; i < n; ++i) {
      out[i] = FastLog(values[begin + i] + least);
    }
  };
  log_of(ReuseFeature::kRate, rates_, kLeastRate);
  log_of(ReuseFeature::kAlike, alike_, kLeastExpected);
  log_of(ReuseFeature::kFollow, follow_, kLeastExpected);
  float* const age = features[static_cast<size_t>(ReuseFeature::kAge)].data();
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t last = last_use_[begin + i];
    age[i] = FastLog(1 + (last == kNever ? kAgeOfUnused : static_cast<float>(now - last)));
  }
}

void ReuseFeatures::Warm(std::span<const float> popularity) {
  float most = 0;
  for (const float p : popularity) {
    most = std::max(most, p);
  }
  for (size_t i = 0; most > 0 && i < std::min<size_t>(popularity.size(), last_use_.size()); ++i) {
    rates_[i] = std::max(rates_[i], popularity[i] / most);
  }
}

}  // namespace plimsoll::memory::policy
