// Streaming detokenization: text as it grows, never half a UTF-8 character.
#pragma once

#include <string>

#include "text/tokenizer.h"

namespace plimsoll::text {

// Add tokens one by one; each call returns the text that is complete by now. Bytes that can still
// become a character are held back; bytes that no longer can are passed on as they are, so the
// concatenation of all parts and Flush() is exactly Tokenizer::Decode of the tokens (of a text's
// start).
class Detokenizer {
 public:
  // `at_start` false: the tokens go on a text, so that a space at their start belongs to it.
  explicit Detokenizer(const Tokenizer& tokenizer, bool render_control = false,
                       bool at_start = true)
      : tokenizer_(tokenizer), render_control_(render_control), at_start_(at_start) {}

  [[nodiscard]] std::string Add(TokenId token);
  [[nodiscard]] std::string Flush();

 private:
  const Tokenizer& tokenizer_;
  bool render_control_;
  bool at_start_;
  std::string held_;
};

}  // namespace plimsoll::text
