// The messages of a chat, and the tokens that they are to the model.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "engine/chat.h"
#include "text/tokenizer.h"

namespace plimsoll::cli {

// Alternating questions and answers after an optional system message.
class Conversation {
 public:
  // The model's chat template: messages to prompt, ready for the next answer.
  using RenderFn =
      std::function<Result<std::string>(std::span<const engine::ChatMessage> messages)>;

  // `tokenizer` outlives the conversation.
  Conversation(const text::Tokenizer& tokenizer, RenderFn render, std::string system);

  // Forgets questions and answers; the second form replaces the system message too.
  void Reset();
  void Reset(std::string system);
  [[nodiscard]] const std::string& system() const { return system_; }

  // Adds a question and gives the whole prompt. What the model has read and written so far comes
  // back as the very tokens it was, so that its KV is kept, as far as the template repeats it
  // unchanged. After an error the question is not part of the conversation.
  [[nodiscard]] Result<std::vector<TokenId>> Ask(std::string question);
  // The last question's, as text.
  [[nodiscard]] const std::string& prompt() const { return prompt_; }
  // The answer to the last question, and the sequence (prompt and generated tokens) it came from.
  void Answer(std::string answer, std::span<const TokenId> sequence);
  // Takes the last question back: it was not answered.
  void Retract();
  [[nodiscard]] size_t n_answers() const;

  // What another run needs to go on, beside the tokens of the sequence.
  [[nodiscard]] std::string Note() const;
  // Goes on where a note was made. `tokens`: the sequence as it was then; none where another model
  // reads on. kBadModel when it is no such note; then nothing has changed.
  [[nodiscard]] Result<> Recall(std::string_view note, std::span<const TokenId> tokens);

 private:
  [[nodiscard]] std::vector<TokenId> Encode(const std::string& prompt) const;

  const text::Tokenizer& tokenizer_;
  RenderFn render_;
  std::string system_;
  std::vector<engine::ChatMessage> messages_;

  std::string prompt_;  // of the last question
  size_t n_prompt_tokens_ = 0;
  std::string known_text_;  // text whose tokens are known to be known_tokens_
  std::vector<TokenId> known_tokens_;
};

}  // namespace plimsoll::cli
