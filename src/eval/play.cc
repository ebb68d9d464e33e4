#include "eval/play.h"

#include <string>
#include <utility>

#include "engine/chat.h"
#include "sampling/logprobs.h"

namespace plimsoll::eval {
namespace {

constexpr uint32_t kAnswerTokensMax = 48;

Result<std::vector<TokenId>> PromptOf(const engine::Engine& engine,
                                      std::span<const engine::ChatMessage> messages) {
  auto chat_template = engine.chat_template();
  if (!chat_template) {
    return Forward(chat_template);
  }
  auto text = engine::RenderChat(*chat_template, engine.tokenizer(), messages);
  if (!text) {
    return Forward(text);
  }
  return engine::EncodePrompt(engine.tokenizer(), *text);
}

std::string Message(const Dialogue& dialogue, const Turn& turn, bool has_context) {
  return has_context && !dialogue.context.empty() ? dialogue.context + " " + turn.question
                                                  : turn.question;
}

// The session holds `prompt`, and perhaps more, which goes.
Result<double> AnswerNll(engine::Session& session, std::span<const TokenId> prompt,
                         std::span<const TokenId> answer) {
  // The last token of the prompt predicts the first of the answer. Some before it may have to be
  // computed again: not every way to keep keys and values can go back to every token.
  session.Truncate(static_cast<uint32_t>(prompt.size()) - 1);
  const auto missing = prompt.subspan(session.tokens().size());
  std::vector<TokenId> tokens(missing.begin(), missing.end());
  tokens.insert(tokens.end(), answer.begin(), answer.end() - 1);
  double sum = 0;
  auto appended = session.Append(tokens, [&](uint32_t i, std::span<const float> logits) {
    if (i + 1 >= missing.size()) {
      const auto next = static_cast<size_t>(answer[i + 1 - missing.size()]);
      sum += sampling::LogSumExp(logits) - static_cast<double>(logits[next]);
    }
  });
  if (!appended) {
    return Forward(appended);
  }
  return sum / static_cast<double>(answer.size());
}

struct Answered {
  std::string text;
  TurnOutcome outcome;
};

Result<Answered> Ask(const engine::Engine& engine, engine::Session& session,
                     std::span<const engine::ChatMessage> messages, const Turn& turn) {
  auto prompt = PromptOf(engine, messages);
  if (!prompt) {
    return Forward(prompt);
  }
  const engine::GenerateOptions options = {.sampling = {.temperature = 0},
                                           .n_predict = kAnswerTokensMax};
  Answered answered;
  auto stats = session.Generate(*prompt, options, [&](std::string_view text) {
    answered.text += text;
    return true;
  });
  if (!stats) {
    return Forward(stats);
  }
  answered.outcome.stats = *stats;
  answered.outcome.is_right = answered.text.find(turn.value) != std::string::npos;
  const auto answer = engine.tokenizer().Encode(turn.answer, {});
  auto nll = AnswerNll(session, *prompt, answer);
  if (!nll) {
    return Forward(nll);
  }
  answered.outcome.answer_nll = *nll;
  return answered;
}

}  // namespace

Result<std::vector<TurnOutcome>> Play(const engine::Engine& engine, engine::Session& session,
                                      const Dialogue& dialogue) {
  session.Truncate(0);
  std::vector<engine::ChatMessage> messages;
  std::vector<TurnOutcome> outcomes;
  for (const Turn& turn : dialogue.turns) {
    if (dialogue.is_shared_context) {
      messages.clear();
    }
    messages.push_back({"user", Message(dialogue, turn, messages.empty())});
    auto answered = Ask(engine, session, messages, turn);
    if (!answered) {
      return Forward(answered);
    }
    messages.push_back({"assistant", std::move(answered->text)});
    outcomes.push_back(answered->outcome);
  }
  return outcomes;
}

Result<std::vector<TokenId>> Transcript(const engine::Engine& engine, const Dialogue& dialogue) {
  std::vector<engine::ChatMessage> messages;
  for (const Turn& turn : dialogue.turns) {
    messages.push_back({"user", Message(dialogue, turn, messages.empty())});
    messages.push_back({"assistant", turn.answer});
  }
  return PromptOf(engine, messages);
}

}  // namespace plimsoll::eval
