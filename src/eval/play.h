// A dialogue played with a model: its own answers stay in the conversation.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "eval/dialogue.h"

namespace plimsoll::eval {

struct TurnOutcome {
  bool is_right = false;  // the answer holds the turn's value
  // Of the right answer's tokens, were they put into the model's mouth: the mean negative
  // log-likelihood, in nats.
  double answer_nll = 0;
  engine::GenerateStats stats;
};

// One outcome a turn. The session holds other tokens afterwards; it is emptied first. Answers are
// the likeliest tokens (temperature 0), at most 48 of them. kUsage when the dialogue does not fit
// the session's context.
[[nodiscard]] Result<std::vector<TurnOutcome>> Play(const engine::Engine& engine,
                                                    engine::Session& session,
                                                    const Dialogue& dialogue);

// The dialogue with the right answers, as the model's chat template writes it.
[[nodiscard]] Result<std::vector<TokenId>> Transcript(const engine::Engine& engine,
                                                      const Dialogue& dialogue);

}  // namespace plimsoll::eval
