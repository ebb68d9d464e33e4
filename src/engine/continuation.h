// What a model says behind a prompt, token by token: its text, and when it is over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "engine/engine.h"
#include "sampling/stop_strings.h"
#include "text/detokenizer.h"

namespace plimsoll::engine {

// `tokenizer` and `options` outlive it.
class Continuation {
 public:
  // The text goes on behind the token `last`: after a control token it is a text of its own.
  Continuation(const text::Tokenizer& tokenizer, TokenId last, const GenerateOptions& options);

  struct Step {
    std::string text;                 // whole characters, nothing of a stop string; may be empty
    std::optional<FinishReason> end;  // nothing: it goes on
  };
  // A token that was drawn. `has_room`: the context can take it. `is_last`: nothing may follow it.
  [[nodiscard]] Step Add(TokenId token, bool has_room, bool is_last = false);

  [[nodiscard]] uint32_t n_generated() const { return n_generated_; }
  [[nodiscard]] const std::string& stop_string() const { return stops_.met(); }

 private:
  [[nodiscard]] Step End(std::string text, FinishReason reason);

  const text::Tokenizer& tokenizer_;
  const GenerateOptions& options_;
  text::Detokenizer detokenizer_;
  sampling::StopStrings stops_;
  uint32_t n_generated_ = 0;
};

}  // namespace plimsoll::engine
