#include "engine/order/decode_turns.h"

#include <algorithm>
#include <cmath>

namespace plimsoll::engine::order {
namespace {

// Of what all together takes: groups are tried for less than this, and kept below it.
constexpr double kWorthTrying = 0.85;
constexpr double kWorthKeeping = 0.97;
// Given up before its round is over.
constexpr double kLoses = 1.1;
// Memory is short where so much of the time goes by waiting for reads.
constexpr double kShort = 0.05;
// What was measured all together stands while there are as many, up to this share.
constexpr double kAsMany = 0.25;

}  // namespace

std::span<const uint32_t> DecodeTurns::Choose(std::span<Decoder* const> answering,
                                              uint32_t n_frames, double seconds) {
  ++step_;
  if (steps_left_ == 0) {
    const bool loses =
        limits_.min_groups == 1 && sums_.per_token() > kLoses * together_.per_token();
    if (++current_ < groups_.n_groups && !loses) {
      steps_left_ = groups_.turn_steps;
    } else {
      Replan(answering, n_frames);
    }
  }
  Pick(answering, seconds);
  for (uint32_t i = 0; chosen_.empty() && !answering.empty() && i < groups_.n_groups; ++i) {
    current_ = (current_ + 1) % groups_.n_groups;  // all of its group have ended
    steps_left_ = groups_.turn_steps;
    Pick(answering, seconds);
  }
  --steps_left_;
  for (const uint32_t i : chosen_) {
    answering[i]->last_step = step_;
    answering[i]->last_seconds = seconds;
  }
  return chosen_;
}

void DecodeTurns::Pick(std::span<Decoder* const> answering, double seconds) {
  chosen_.clear();
  for (uint32_t i = 0; i < answering.size(); ++i) {
    Decoder& decoder = *answering[i];
    if (decoder.plan != plan_) {
      decoder.last_step = decoder.plan == 0 ? step_ : decoder.last_step;
      decoder.last_seconds = decoder.plan == 0 ? seconds : decoder.last_seconds;
      decoder.plan = plan_;
      decoder.group = current_;
    }
    if (decoder.group == current_ || IsOverdue(decoder, seconds)) {
      chosen_.push_back(i);
    }
  }
}

bool DecodeTurns::IsOverdue(const Decoder& decoder, double seconds) const {
  return step_ - decoder.last_step > limits_.max_still_steps ||
         seconds - decoder.last_seconds > limits_.max_still_seconds;
}

void DecodeTurns::ChooseAll(std::span<Decoder* const> answering, double seconds) {
  ++step_;
  if (groups_.n_groups > 1) {
    GoTogether();
  }
  for (Decoder* decoder : answering) {
    decoder->plan = plan_;
    decoder->group = current_;
    decoder->last_step = step_;
    decoder->last_seconds = seconds;
  }
}

void DecodeTurns::Measure(const DecodeMeasure& measure) {
  ++sums_.n_steps;
  sums_.n_tokens += measure.n_tokens;
  sums_.n_used += static_cast<double>(measure.n_used);
  sums_.n_missed += static_cast<double>(measure.n_missed);
  sums_.seconds += measure.seconds;
  sums_.waited += measure.waited;
}

void DecodeTurns::GoTogether() {
  groups_ = {};
  ++plan_;
  current_ = 0;
  steps_left_ = kStretch;
  n_rounds_ = 0;
  sums_ = {};
}

// A stretch or a round of turns is over.
void DecodeTurns::Replan(std::span<Decoder* const> answering, uint32_t n_frames) {
  const bool measured = sums_.n_tokens > 0;
  if (groups_.n_groups > 1) {
    const bool pays = limits_.min_groups > 1 ||
                      (measured && sums_.per_token() < kWorthKeeping * together_.per_token());
    pause_ = pays ? 1 : std::min(2 * pause_, kLongestPause);
    n_paused_ = 0;
    const bool as_many = std::abs(static_cast<double>(answering.size()) - together_.n_per_step()) <=
                         kAsMany * together_.n_per_step();
    if (pays && as_many && ++n_rounds_ < kRounds) {
      TryGroups(answering, n_frames);
    } else {
      GoTogether();
    }
    return;
  }
  const bool is_short = measured && sums_.waited > kShort * sums_.seconds && sums_.n_missed > 0;
  if (measured) {
    together_ = sums_;
  }
  const bool is_due = limits_.min_groups > 1 ? measured : is_short && ++n_paused_ >= pause_;
  if (is_due && answering.size() > 1) {
    TryGroups(answering, n_frames);
  } else {
    GoTogether();
  }
}

void DecodeTurns::TryGroups(std::span<Decoder* const> answering, uint32_t n_frames) {
  rates_.clear();
  for (const Decoder* decoder : answering) {
    rates_.push_back(decoder->rates.pages());
  }
  const Sums& all = together_;
  const double steps = all.n_steps;
  DecodeCosts costs = {.n_frames = n_frames};
  costs.seconds_per_page = (all.seconds - all.waited) / (steps * dense_share_ + all.n_used);
  costs.seconds = dense_share_ * costs.seconds_per_page;
  costs.seconds_per_miss = all.waited / std::max(all.n_missed, 1.0);
  const DecodeGroups together = planner_.Together(rates_, costs);
  const double n_predicted = std::max(together.misses_per_token * all.n_tokens, 1.0);
  costs.miss_factor = std::clamp(all.n_missed / n_predicted, 0.25, 4.0);
  const double bound = kWorthTrying * planner_.Together(rates_, costs).seconds_per_token;
  DecodeGroups groups = planner_.Cheapest(rates_, costs, limits_);
  if (groups.n_groups == 1 || groups.group_of.empty() ||
      (groups.seconds_per_token > bound && limits_.min_groups == 1)) {
    GoTogether();
    return;
  }
  groups_ = std::move(groups);
  ++plan_;
  current_ = 0;
  steps_left_ = groups_.turn_steps;
  sums_ = {};
  for (size_t i = 0; i < answering.size(); ++i) {
    answering[i]->plan = plan_;
    answering[i]->group = groups_.group_of[i];
  }
}

}  // namespace plimsoll::engine::order
