// Conversations to prompts by the template of the model's file.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace plimsoll::engine {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// The prompt that lets the model give the next answer. A model without a template (`chat_template`
// null) gets ChatML, <|im_start|>ROLE, the text, <|im_end|>, which most chat models without one
// were tuned on. The special tokens in the prompt are text, to be encoded with parse_special.
[[nodiscard]] Result<std::string> RenderChat(const text::ChatTemplate* chat_template,
                                             const text::Tokenizer& tokenizer,
                                             std::span<const ChatMessage> messages);

}  // namespace plimsoll::engine
