// Sequences of a batcher that decode in groups: who is in the next step, what their routers chose,
// and what the step took.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "engine/batch/sequence.h"
#include "engine/engine_state.h"
#include "engine/order/decode_turns.h"
#include "memory/trace/routing_observer.h"

namespace plimsoll::engine::batch {

// Of an engine whose experts are paged, which outlives it. For one thread at a time.
class GroupedDecode final : private memory::trace::RoutingObserver {
 public:
  GroupedDecode(EngineState& state, const order::TurnLimits& limits);
  GroupedDecode(const GroupedDecode&) = delete;
  GroupedDecode& operator=(const GroupedDecode&) = delete;
  ~GroupedDecode() override;

  // Of those that could decode. All of them where someone reads a prompt in the same step: that
  // uses nearly all experts whoever decodes with it. Who could not be counted, for want of memory,
  // decodes in every step.
  void KeepThoseWhoDecode(std::vector<Sequence*>& answering, bool anyone_reads,
                          Clock::time_point now);

  void BeginStep();
  // Before a pass, in the order of its tokens those that they are of.
  void AddToPass(Sequence& sequence, uint32_t n_tokens);
  void EndPass() { of_pass_.clear(); }
  // Of a step in which all pieces were answers.
  void EndStep(uint32_t n_tokens, double seconds);

  [[nodiscard]] uint32_t n_groups() const { return turns_.n_groups(); }

 private:
  struct Tokens {
    order::Decoder* decoder = nullptr;  // null: it is not counted
    uint32_t n = 0;
  };

  void OnVisit(const memory::policy::LayerVisit& visit) override;
  [[nodiscard]] uint32_t n_frames() const;

  EngineState& state_;
  order::DecodeTurns turns_;
  std::optional<Clock::time_point> first_;
  std::vector<Tokens> of_pass_;
  std::vector<order::Decoder*> decoders_;
  memory::WantStats before_;
};

}  // namespace plimsoll::engine::batch
