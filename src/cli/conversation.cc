#include "cli/conversation.h"

#include <utility>

namespace plimsoll::cli {
namespace {

bool IsControl(const text::Tokenizer& tokenizer, TokenId token) {
  const auto& types = tokenizer.spec().types;
  return token >= 0 && static_cast<size_t>(token) < types.size() &&
         types[static_cast<size_t>(token)] == text::TokenType::kControl;
}

}  // namespace

Conversation::Conversation(const text::Tokenizer& tokenizer, RenderFn render, std::string system)
    : tokenizer_(tokenizer), render_(std::move(render)) {
  Reset(std::move(system));
}

void Conversation::Reset() { Reset(std::move(system_)); }

void Conversation::Reset(std::string system) {
  system_ = std::move(system);
  messages_.clear();
  if (!system_.empty()) {
    messages_.push_back({.role = "system", .content = system_});
  }
  known_text_.clear();
  known_tokens_.clear();
}

Result<std::vector<TokenId>> Conversation::Ask(std::string question) {
  messages_.push_back({.role = "user", .content = std::move(question)});
  auto prompt = render_(messages_);
  if (!prompt) {
    Retract();
    return Forward(prompt);
  }
  prompt_ = std::move(*prompt);
  auto tokens = Encode(prompt_);
  n_prompt_tokens_ = tokens.size();
  return tokens;
}

std::vector<TokenId> Conversation::Encode(const std::string& prompt) const {
  if (known_text_.empty() || !prompt.starts_with(known_text_)) {
    return engine::EncodePrompt(tokenizer_, prompt);
  }
  const auto rest = tokenizer_.Encode(prompt.substr(known_text_.size()),
                                      {.add_bos_eos = false, .parse_special = true});
  // A control token ends what comes before it. Anything else might have joined with it.
  if (rest.empty() || !IsControl(tokenizer_, rest.front())) {
    return engine::EncodePrompt(tokenizer_, prompt);
  }
  std::vector<TokenId> tokens = known_tokens_;
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

void Conversation::Answer(std::string answer, std::span<const TokenId> sequence) {
  auto generated = sequence.subspan(std::min(n_prompt_tokens_, sequence.size()));
  while (!generated.empty() && tokenizer_.IsEndOfGeneration(generated.back())) {
    generated = generated.first(generated.size() - 1);
  }
  // A stop string or a control token in the middle makes text and tokens differ.
  if (tokenizer_.Decode(generated, true) == answer) {
    known_text_ = prompt_ + answer;
    known_tokens_.assign(
        sequence.begin(),
        sequence.begin() + static_cast<ptrdiff_t>(n_prompt_tokens_ + generated.size()));
  } else {
    known_text_.clear();
    known_tokens_.clear();
  }
  messages_.push_back({.role = "assistant", .content = std::move(answer)});
}

void Conversation::Retract() {
  if (!messages_.empty() && messages_.back().role == "user") {
    messages_.pop_back();
  }
}

}  // namespace plimsoll::cli
