#include "memory/policy/reuse_features.h"

#include <algorithm>
#include <cmath>

#include "memory/policy/fast_math.h"

namespace plimsoll::memory::policy {
namespace {

constexpr std::array<float, 3> kHalfLives = {4, 8, 32};
// What is added before a logarithm: a rate below it is as good as none.
constexpr float kLeastRate = 0.002F;
constexpr float kLeastExpected = 0.02F;
constexpr float kAgeOfUnused = 60;

constexpr std::array<std::string_view, kNReuseFeatures> kNames = {
    "rate 4", "rate 8", "rate 32", "age", "alike", "follow", "follow far"};

// Whether the tokens of a visit are consecutive tokens of one sequence.
bool IsSequence(const LayerVisit& visit) {
  return visit.phase == Phase::kPrefill || visit.n_tokens == 1;
}

}  // namespace

std::string_view ReuseFeatureName(size_t feature) { return kNames[feature]; }

ReuseFeatures::ReuseFeatures(const PageLayout& layout)
    : layout_(layout),
      history_(layout),
      last_use_(layout.n_pages(), kNever),
      alike_(layout.n_pages(), 0),
      follow_(layout.n_pages(), 0),
      follow_far_(layout.n_pages(), 0) {
  uint32_t widest = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint32_t n = layout.n_pages(layer);
    widest = std::max(widest, n);
    layers_.push_back({0, 0, FollowTable(n, 1), FollowTable(n, RoutingHistory::kAhead)});
  }
  for (std::vector<float>& rate : rates_) {
    rate.assign(layout.n_pages(), 0);
  }
  share_.assign(widest, 0);
}

uint64_t ReuseFeatures::Bytes(const PageLayout& layout) {
  uint64_t bytes = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    const uint64_t n = layout.n_pages(layer);
    bytes += 2 * n * (n + 1) + sizeof(Layer);
    bytes += uint64_t{RoutingHistory::kTokens} * (RoutingHistory::kActiveMax * 2 + 16);
  }
  return bytes + uint64_t{layout.n_pages()} * (3 + 4) * sizeof(float);
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
    std::copy_n(rates_[1].begin() + begin, n, follow_.begin() + begin);
    std::copy_n(rates_[1].begin() + begin, n, follow_far_.begin() + begin);
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
      layers_[visit.layer].n_used += last_use_[begin + expert] == kNever ? 1U : 0U;
      last_use_[begin + expert] = now - behind;
    }
  }
  AdvanceRates(visit.layer, n_time, share);
}

void ReuseFeatures::AdvanceRates(uint32_t layer, uint32_t n_tokens, std::span<const float> share) {
  const uint32_t begin = layout_.begin(layer);
  for (size_t i = 0; i < rates_.size(); ++i) {
    const float keep = FastExp(-0.6931472F * static_cast<float>(n_tokens) / kHalfLives[i]);
    float* const rate = rates_[i].data() + begin;
    for (size_t j = 0; j < share.size(); ++j) {
      rate[j] = keep * rate[j] + (1 - keep) * share[j];
    }
  }
}

// The last tokens only: what lies further back than the history does not matter.
void ReuseFeatures::LearnTokens(const LayerVisit& visit, uint64_t first_token) {
  Layer& layer = layers_[visit.layer];
  const uint32_t skip = visit.n_tokens - std::min(visit.n_tokens, RoutingHistory::kTokens);
  for (uint32_t i = skip; i < visit.n_tokens; ++i) {
    const uint64_t token = first_token + i;
    history_.Add(visit.layer, token, visit.experts_of(i));
    const auto now = history_.Of(visit.layer, token);
    for (uint32_t lag = 1; lag <= std::min<uint64_t>(RoutingHistory::kAhead, token); ++lag) {
      const auto then = history_.Of(visit.layer, token - lag);
      layer.follow_far.Add(then, now, lag);
      if (lag == 1) {
        layer.follow.Add(then, now, lag);
      }
    }
  }
}

void ReuseFeatures::Predict(const LayerVisit& visit, uint64_t token) {
  const uint32_t begin = layout_.begin(visit.layer);
  const uint32_t n = layout_.n_pages(visit.layer);
  const auto rate = std::span<const float>(rates_[1]).subspan(begin, n);
  const auto now = history_.Of(visit.layer, token);
  const Layer& layer = layers_[visit.layer];
  layer.follow.Expect(now, rate, std::span(follow_).subspan(begin, n));
  layer.follow_far.Expect(now, rate, std::span(follow_far_).subspan(begin, n));
  history_.Compare(visit.layer, token);
  history_.Expect(visit.layer, token, std::span(alike_).subspan(begin, n));
}

uint32_t ReuseFeatures::Age(PageId page) const {
  const uint32_t last = last_use_[page.value];
  return last == kNever ? kNever : layers_[layout_.layer_of(page)].now - last;
}

uint32_t ReuseFeatures::CountUsedWithin(uint32_t layer, uint32_t n) const {
  const auto last_use = std::span(last_use_).subspan(layout_.begin(layer), layout_.n_pages(layer));
  const uint32_t now = layers_[layer].now;
  return static_cast<uint32_t>(std::ranges::count_if(
      last_use, [&](uint32_t last) { return last != kNever && now - last < n; }));
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
  log_of(ReuseFeature::kRate4, rates_[0], kLeastRate);
  log_of(ReuseFeature::kRate8, rates_[1], kLeastRate);
  log_of(ReuseFeature::kRate32, rates_[2], kLeastRate);
  log_of(ReuseFeature::kAlike, alike_, kLeastExpected);
  log_of(ReuseFeature::kFollow, follow_, kLeastExpected);
  log_of(ReuseFeature::kFollowFar, follow_far_, kLeastExpected);
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
    rates_[2][i] = std::max(rates_[2][i], popularity[i] / most);
  }
}

}  // namespace plimsoll::memory::policy
