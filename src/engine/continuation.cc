#include "engine/continuation.h"

namespace plimsoll::engine {

Continuation::Continuation(const text::Tokenizer& tokenizer, TokenId last,
                           const GenerateOptions& options)
    : tokenizer_(tokenizer),
      options_(options),
      detokenizer_(tokenizer, options.show_control, tokenizer.Piece(last, false).empty()),
      stops_(options.stop) {}

Continuation::Step Continuation::Add(TokenId token, bool has_room, bool is_last) {
  ++n_generated_;
  if (!options_.ignore_end && tokenizer_.IsEndOfGeneration(token)) {
    return End({}, FinishReason::kEnd);
  }
  std::string text = stops_.Add(detokenizer_.Add(token));
  if (stops_.stopped()) {
    return {.text = std::move(text), .end = FinishReason::kStopString};
  }
  if (is_last) {
    return End(std::move(text), FinishReason::kEnd);
  }
  if (options_.n_predict != 0 && n_generated_ >= options_.n_predict) {
    return End(std::move(text), FinishReason::kLength);
  }
  if (!has_room) {
    return End(std::move(text), FinishReason::kContextFull);
  }
  return {.text = std::move(text), .end = std::nullopt};
}

// What was held back in the hope of more comes out, and may complete a stop string.
Continuation::Step Continuation::End(std::string text, FinishReason reason) {
  text += stops_.Add(detokenizer_.Flush());
  text += stops_.Flush();
  return {.text = std::move(text), .end = stops_.stopped() ? FinishReason::kStopString : reason};
}

}  // namespace plimsoll::engine
