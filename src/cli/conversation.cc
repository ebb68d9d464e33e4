#include "cli/conversation.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace plimsoll::cli {
namespace {

bool IsControl(const text::Tokenizer& tokenizer, TokenId token) {
  const auto& types = tokenizer.spec().types;
  return token >= 0 && static_cast<size_t>(token) < types.size() &&
         types[static_cast<size_t>(token)] == text::TokenType::kControl;
}

constexpr std::string_view kNoteBegin = "plimsoll chat 1\n";

void PutText(std::string& note, std::string_view name, std::string_view text) {
  note += fmt::format("{} {}\n{}\n", name, text.size(), text);
}

// Takes "NAME NUMBER\n", as many bytes, and "\n" off the front.
struct NamedText {
  std::string_view name;
  std::string_view text;
};
std::optional<NamedText> TakeText(std::string_view& note) {
  const size_t space = note.find(' ');
  const size_t line_end = note.find('\n');
  if (line_end == std::string_view::npos || space > line_end) {
    return std::nullopt;
  }
  size_t n = 0;
  const auto [end, error] = std::from_chars(note.data() + space + 1, note.data() + line_end, n);
  const size_t left = note.size() - line_end - 1;
  if (error != std::errc() || end != note.data() + line_end || n >= left ||
      note[line_end + 1 + n] != '\n') {
    return std::nullopt;
  }
  const NamedText taken = {.name = note.substr(0, space), .text = note.substr(line_end + 1, n)};
  note.remove_prefix(line_end + n + 2);
  return taken;
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

size_t Conversation::n_answers() const {
  return static_cast<size_t>(
      std::ranges::count(messages_, "assistant", &engine::ChatMessage::role));
}

// The tokens whose text is known are the first of the sequence: their number says which.
std::string Conversation::Note() const {
  std::string note(kNoteBegin);
  for (const engine::ChatMessage& message : messages_) {
    PutText(note, message.role, message.content);
  }
  PutText(note, "known-tokens", fmt::format("{}", known_tokens_.size()));
  PutText(note, "known-text", known_text_);
  return note;
}

Result<> Conversation::Recall(std::string_view note, std::span<const TokenId> tokens) {
  const auto bad = [](std::string_view what) {
    return Fail(ErrorKind::kBadModel, "what it holds is no chat: {}", what);
  };
  if (!note.starts_with(kNoteBegin)) {
    return bad("its text does not begin like one");
  }
  note.remove_prefix(kNoteBegin.size());
  std::vector<engine::ChatMessage> messages;
  std::string known_text;
  size_t n_known = 0;
  while (!note.empty()) {
    const auto [name, text] = TakeText(note).value_or(NamedText{});
    const bool is_first = messages.empty();
    if (name == "known-text") {
      known_text = text;
    } else if (name == "known-tokens") {
      std::from_chars(text.data(), text.data() + text.size(), n_known);
    } else if (name == "user" || name == "assistant" || (name == "system" && is_first)) {
      messages.push_back({.role = std::string(name), .content = std::string(text)});
    } else {
      return bad("a message is not whole");
    }
  }
  system_ = !messages.empty() && messages.front().role == "system" ? messages.front().content : "";
  messages_ = std::move(messages);
  known_text_.clear();
  known_tokens_.clear();
  if (n_known <= tokens.size() && !known_text.empty()) {
    known_text_ = std::move(known_text);
    known_tokens_.assign(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(n_known));
  }
  return {};
}

void Conversation::Retract() {
  if (!messages_.empty() && messages_.back().role == "user") {
    messages_.pop_back();
  }
}

}  // namespace plimsoll::cli
