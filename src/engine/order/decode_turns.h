// Expert-union groups: sequences that share experts decode together, and take turns with the
// others, where experts are paged and that is cheaper for all. Else all decode in every step.
//
// It is measured, not believed: after a stretch of steps with all together it is known what a step
// takes; groups are tried where the sums (decode_groups.h) promise enough less, and kept only while
// a whole round of turns has in fact taken less. What failed is tried again ever more seldom.
//
// Nobody stands still for longer than the limits: who has, is in the next step, whoever's turn it
// is.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/order/decode_groups.h"
#include "engine/order/expert_rates.h"
#include "memory/ledger.h"

namespace plimsoll::engine::order {

// A sequence that is answering.
struct Decoder {
  explicit Decoder(const memory::policy::PageLayout& layout, memory::Reservation for_it = {})
      : memory(std::move(for_it)), rates(layout) {}
  [[nodiscard]] static uint64_t Bytes(const memory::policy::PageLayout& layout) {
    return sizeof(Decoder) + ExpertRates::Bytes(layout);
  }

  memory::Reservation memory;  // of Bytes(layout)
  ExpertRates rates;
  uint64_t plan = 0;       // that put it into `group`; 0: it is new
  uint32_t group = 0;      // whose turn it decodes in
  uint64_t last_step = 0;  // that it was chosen for
  double last_seconds = 0;
};

// What a step in which nobody read a prompt did.
struct DecodeMeasure {
  uint32_t n_tokens = 0;
  uint64_t n_used = 0;    // experts
  uint64_t n_missed = 0;  // of these, read first
  double seconds = 0;
  double waited = 0;  // of these, for reads
};

// Not thread-safe.
class DecodeTurns {
 public:
  // `dense_share`: what a step reads from memory beside its experts, in bytes of one expert.
  DecodeTurns(uint32_t n_pages, double dense_share, const TurnLimits& limits)
      : limits_(limits), dense_share_(dense_share), planner_(n_pages) {}

  // A step begins: of all that are answering, in an order that stays, those that decode in it;
  // ascending. Never none if there are any. `n_frames` as it is now. Time never falls.
  [[nodiscard]] std::span<const uint32_t> Choose(std::span<Decoder* const> answering,
                                                 uint32_t n_frames, double seconds);
  // Whoever is chosen decodes with those that read prompts, which use all experts: nobody is left
  // out. Ends the turns.
  void ChooseAll(std::span<Decoder* const> answering, double seconds);
  // Of the step that was chosen last.
  void Measure(const DecodeMeasure& measure);

  [[nodiscard]] uint32_t n_groups() const { return groups_.n_groups; }

 private:
  // Steps all together, between two looks at whether groups would be cheaper.
  static constexpr uint32_t kStretch = 32;
  static constexpr uint32_t kLongestPause = 32;  // stretches
  static constexpr uint32_t kRounds = 4;         // of turns, before all together is measured again

  struct Sums {
    uint32_t n_steps = 0;
    double n_tokens = 0;
    double n_used = 0;
    double n_missed = 0;
    double seconds = 0;
    double waited = 0;
    [[nodiscard]] double n_per_step() const { return n_steps == 0 ? 0 : n_tokens / n_steps; }
    [[nodiscard]] double per_token() const { return n_tokens == 0 ? 0 : seconds / n_tokens; }
  };

  void Replan(std::span<Decoder* const> answering, uint32_t n_frames);
  void TryGroups(std::span<Decoder* const> answering, uint32_t n_frames);
  void GoTogether();
  [[nodiscard]] bool IsOverdue(const Decoder& decoder, double seconds) const;
  void Pick(std::span<Decoder* const> answering, double seconds);

  TurnLimits limits_;
  double dense_share_;
  GroupPlanner planner_;
  DecodeGroups groups_;
  uint64_t plan_ = 1;
  uint32_t current_ = 0;     // whose turn it is
  uint32_t steps_left_ = 0;  // of the turn, or of the stretch
  uint32_t n_rounds_ = 0;    // in turns, since all together was measured
  uint32_t pause_ = 2;       // stretches until groups are tried: the first one warms up
  uint32_t n_paused_ = 0;
  uint64_t step_ = 0;
  Sums sums_;  // since the plan was made
  Sums together_;
  std::vector<std::span<const float>> rates_;
  std::vector<uint32_t> chosen_;
};

}  // namespace plimsoll::engine::order
