#include "engine/chat.h"

#include <optional>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace plimsoll::engine {
namespace {

using text::jinja::Value;

std::string RenderChatMl(std::span<const ChatMessage> messages) {
  std::string prompt;
  for (const ChatMessage& message : messages) {
    prompt += "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n";
  }
  return prompt + "<|im_start|>assistant\n";
}

// As the vocabulary spells it; templates expect a string, empty when there is no such token.
std::string Spelling(const text::Tokenizer& tokenizer, std::optional<TokenId> token) {
  const auto& tokens = tokenizer.spec().tokens;
  if (!token || *token < 0 || static_cast<size_t>(*token) >= tokens.size()) {
    return {};
  }
  return tokens[static_cast<size_t>(*token)];
}

}  // namespace

std::vector<TokenId> EncodePrompt(const text::Tokenizer& tokenizer, std::string_view text,
                                  std::string_view mark) {
  auto tokens = tokenizer.Encode(text, {.add_bos_eos = false, .parse_special = true, .mark = mark});
  const auto bos = tokenizer.spec().bos;
  if (tokenizer.adds_bos() && bos && (tokens.empty() || tokens.front() != *bos)) {
    tokens.insert(tokens.begin(), *bos);
  }
  return tokens;
}

Result<std::string> RenderChat(const text::ChatTemplate* chat_template,
                               const text::Tokenizer& tokenizer,
                               std::span<const ChatMessage> messages) {
  if (chat_template == nullptr) {
    return RenderChatMl(messages);
  }
  std::vector<Value> list;
  for (const ChatMessage& message : messages) {
    list.push_back(Value::Object({{"role", message.role}, {"content", message.content}}));
  }
  return RenderMessages(*chat_template, tokenizer, Value::List(std::move(list)), {});
}

Result<std::string> RenderMessages(const text::ChatTemplate& chat_template,
                                   const text::Tokenizer& tokenizer, Value messages,
                                   std::vector<text::jinja::Member> arguments) {
  arguments.insert(arguments.begin(), {{"messages", std::move(messages)},
                                       {"add_generation_prompt", true},
                                       {"bos_token", Spelling(tokenizer, tokenizer.spec().bos)},
                                       {"eos_token", Spelling(tokenizer, tokenizer.spec().eos)}});
  return chat_template.Render(Value::Object(std::move(arguments)));
}

}  // namespace plimsoll::engine
