// Conversations to prompts by the template of the model's file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace plimsoll::engine {

// Text as a prompt's tokens: control tokens written in it are tokens, and BOS comes first where the
// vocabulary asks for it and the text has none. `mark`: of Tokenizer::BreakSpecial.
[[nodiscard]] std::vector<TokenId> EncodePrompt(const text::Tokenizer& tokenizer,
                                                std::string_view text, std::string_view mark = {});

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

// The same of messages as templates know them (a list of objects), with what else they are told:
// tools, enable_thinking, ... `chat_template` is not null.
[[nodiscard]] Result<std::string> RenderMessages(const text::ChatTemplate& chat_template,
                                                 const text::Tokenizer& tokenizer,
                                                 text::jinja::Value messages,
                                                 std::vector<text::jinja::Member> arguments);

}  // namespace plimsoll::engine
