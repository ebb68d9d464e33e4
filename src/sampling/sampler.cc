#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/math.h"
#include "base/rng.h"

namespace plimsoll::sampling {
namespace {

// The first part of a vocabulary that is put in order when an unknown number of the best is needed.
constexpr size_t kFirstSorted = 64;

Result<> CheckRange(std::string_view name, float value, float low, float high) {
  if (!(value >= low && value <= high)) {  // NaN too
    return Fail(ErrorKind::kUsage, "{} is {}: it must lie between {} and {}", name, value, low,
                high);
  }
  return {};
}

TokenId Argmax(std::span<const float> logits) {
  size_t best = 0;
  float best_logit = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best_logit) {
      best = i;
      best_logit = logits[i];
    }
  }
  return static_cast<TokenId>(best);
}

}  // namespace

Result<> SamplerParams::Validate() const {
  constexpr float kMax = std::numeric_limits<float>::max();
  for (auto check :
       {CheckRange("temperature", temperature, 0, kMax), CheckRange("top-p", top_p, 0, 1),
        CheckRange("min-p", min_p, 0, 1), CheckRange("repeat penalty", repeat_penalty, 1e-3F, 1e3F),
        CheckRange("presence penalty", presence_penalty, -kMax, kMax),
        CheckRange("frequency penalty", frequency_penalty, -kMax, kMax)}) {
    if (!check) {
      return check;
    }
  }
  if (repeat_last_n < -1) {
    return Fail(ErrorKind::kUsage, "repeat-last-n is {}: it must be -1 (the whole context) or more",
                repeat_last_n);
  }
  for (const auto& [token, bias] : logit_bias) {
    if (token < 0 || std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) {
      return Fail(ErrorKind::kUsage,
                  "logit bias {} of token {}: the id must not be negative, the bias a number or "
                  "-inf",
                  bias, token);
    }
  }
  return {};
}

Sampler::Sampler(size_t vocab_size) {
  candidates_.reserve(vocab_size);
  counts_.assign(vocab_size, 0);
}

TokenId Sampler::Sample(const SamplerParams& params, std::span<float> logits,
                        std::span<const TokenId> history, uint64_t position, uint64_t attempt) {
  params_ = &params;
  logits = logits.first(std::min(logits.size(), counts_.size()));
  ApplyBias(logits);
  ApplyPenalties(logits, history);
  if (params_->temperature <= 0) {
    return Argmax(logits);
  }
  Collect(logits);
  if (candidates_.empty()) {
    return 0;
  }
  KeepTopP();
  KeepMinP();
  return Draw(UniformAt(params_->seed, position, attempt));
}

bool Sampler::Better(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

void Sampler::ApplyBias(std::span<float> logits) const {
  for (const auto& [token, bias] : params_->logit_bias) {
    if (static_cast<size_t>(token) < logits.size()) {
      logits[static_cast<size_t>(token)] += bias;
    }
  }
}

void Sampler::ApplyPenalties(std::span<float> logits, std::span<const TokenId> history) {
  const bool neutral = params_->repeat_penalty == 1 && params_->presence_penalty == 0 &&
                       params_->frequency_penalty == 0;
  if (neutral) {
    return;
  }
  if (params_->repeat_last_n >= 0) {
    history = history.last(std::min(history.size(), static_cast<size_t>(params_->repeat_last_n)));
  }
  for (const TokenId token : history) {
    if (token >= 0 && static_cast<size_t>(token) < logits.size()) {
      ++counts_[static_cast<size_t>(token)];
    }
  }
  for (const TokenId token : history) {
    const auto i = static_cast<size_t>(token);
    if (token < 0 || i >= logits.size() || counts_[i] == 0) {
      continue;  // not of this vocabulary, or done at its first occurrence
    }
    float& logit = logits[i];
    logit = logit <= 0 ? logit * params_->repeat_penalty : logit / params_->repeat_penalty;
    logit -=
        static_cast<float>(counts_[i]) * params_->frequency_penalty + params_->presence_penalty;
    counts_[i] = 0;
  }
}

// The candidates are the top-k best, in order; or, without top-k, all in order of id.
void Sampler::Collect(std::span<const float> logits) {
  const size_t limit = params_->top_k <= 0
                           ? logits.size()
                           : std::min(logits.size(), static_cast<size_t>(params_->top_k));
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    // An overflow ranks first, but must not turn the weights into NaN.
    const Candidate candidate{static_cast<TokenId>(i),
                              std::min(logits[i], std::numeric_limits<float>::max())};
    if (std::isnan(logits[i]) || logits[i] == -std::numeric_limits<float>::infinity()) {
      continue;
    }
    if (limit == logits.size()) {
      candidates_.push_back(candidate);
    } else if (candidates_.size() < limit) {
      candidates_.push_back(candidate);  // the heap's top is the worst of the best so far
      std::push_heap(candidates_.begin(), candidates_.end(), Better);
    } else if (Better(candidate, candidates_.front())) {
      std::pop_heap(candidates_.begin(), candidates_.end(), Better);
      candidates_.back() = candidate;
      std::push_heap(candidates_.begin(), candidates_.end(), Better);
    }
  }
  n_sorted_ = 0;
  if (limit != logits.size()) {
    std::sort_heap(candidates_.begin(), candidates_.end(), Better);
    n_sorted_ = candidates_.size();
  }
  if (!candidates_.empty()) {
    max_logit_ = std::min_element(candidates_.begin(), candidates_.end(), Better)->logit;
  }
}

void Sampler::KeepTopP() {
  if (params_->top_p < 1) {
    candidates_.resize(CountToReach(params_->top_p * TotalWeight(1), 1));
    n_sorted_ = candidates_.size();
  }
}

void Sampler::KeepMinP() {
  if (params_->min_p > 0) {
    const double floor = max_logit_ + StableLog(params_->min_p);
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < floor; });
    n_sorted_ = std::min(n_sorted_, candidates_.size());
  }
}

TokenId Sampler::Draw(double uniform) {
  const double temperature = params_->temperature;
  const size_t n = CountToReach(uniform * TotalWeight(temperature), temperature);
  return candidates_[n - 1].token;
}

double Sampler::Weight(const Candidate& candidate, double temperature) const {
  return StableExp((candidate.logit - max_logit_) / temperature);
}

double Sampler::TotalWeight(double temperature) const {
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    total += Weight(candidate, temperature);
  }
  return total;
}

size_t Sampler::CountToReach(double target, double temperature) {
  double sum = 0;
  size_t n_weighty = 1;
  for (size_t n = 1; n <= candidates_.size(); ++n) {
    SortFirst(n);
    const double weight = Weight(candidates_[n - 1], temperature);
    sum += weight;
    if (weight > 0) {
      n_weighty = n;
    }
    if (sum >= target) {
      break;
    }
  }
  // Rounding may leave the sum just under a target near the total: then it is the last that counts.
  return n_weighty;
}

// Puts more in order than asked for, so that a walk over n candidates costs O(n log n) in all.
void Sampler::SortFirst(size_t n) {
  if (n <= n_sorted_) {
    return;
  }
  const size_t goal = std::min(candidates_.size(), std::max({n, kFirstSorted, 4 * n_sorted_}));
  const auto at = [&](size_t i) { return candidates_.begin() + static_cast<ptrdiff_t>(i); };
  std::nth_element(at(n_sorted_), at(goal - 1), candidates_.end(), Better);
  std::sort(at(n_sorted_), at(goal), Better);
  n_sorted_ = goal;
}

}  // namespace plimsoll::sampling
