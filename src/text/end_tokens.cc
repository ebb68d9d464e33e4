#include "text/end_tokens.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace plimsoll::text {
namespace {

// The spellings, as collected in ggml-org/llama.cpp, src/llama-vocab.cpp.

// Nobody writes these in prose.
constexpr std::string_view kUnmistakable[] = {
    "<|eot_id|>",        // Llama 3
    "<|eom_id|>",        // Llama 3, before a tool's answer
    "<|im_end|>",        // ChatML
    "<|end|>",           // Phi 3
    "<|return|>",        // Harmony
    "<|call|>",          // Harmony
    "<|flush|>",         // Solar
    "<|calls|>",         // Solar
    "<end_of_turn>",     // Gemma
    "<turn|>",           // Gemma 4
    "<|tool_response>",  // Gemma 4, before a tool's answer
    "<|endoftext|>",     // GPT-2
    "<|end_of_text|>",   // Granite
    "<end_of_utterance>",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",  // DeepSeek
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
};

// These end a turn only where the vocabulary says that they are control tokens.
constexpr std::string_view kIfControl[] = {
    "</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<eos>", "[e~[",
};

bool IsUnmistakable(std::string_view spelling) {
  return std::find(std::begin(kUnmistakable), std::end(kUnmistakable), spelling) !=
         std::end(kUnmistakable);
}

bool EndsTurnIfControl(std::string_view spelling) {
  return IsUnmistakable(spelling) ||
         std::find(std::begin(kIfControl), std::end(kIfControl), spelling) != std::end(kIfControl);
}

}  // namespace

void RestoreControlTypes(VocabularySpec& spec) {
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    TokenType& type = spec.types[id];
    if ((type == TokenType::kNormal || type == TokenType::kUserDefined) &&
        IsUnmistakable(spec.tokens[id])) {
      type = TokenType::kControl;
    }
  }
}

std::vector<TokenId> FindEndTokens(const VocabularySpec& spec) {
  std::vector<TokenId> ends = spec.extra_end_tokens;
  for (const auto& id : {spec.eos, spec.eot}) {
    if (id) {
      ends.push_back(*id);
    }
  }
  std::optional<TokenId> end_of_message;
  bool has_return_or_flush = false;
  bool has_call = false;
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string_view spelling = spec.tokens[i];
    if (spec.types[i] != TokenType::kControl || !EndsTurnIfControl(spelling)) {
      continue;
    }
    const auto id = static_cast<TokenId>(i);
    has_return_or_flush |= spelling == "<|return|>" || spelling == "<|flush|>";
    has_call |= spelling == "<|call|>" || spelling == "<|calls|>";
    if (spelling == "<|end|>") {
      end_of_message = id;
    } else {
      ends.push_back(id);
    }
  }
  // In the Harmony format and its like <|end|> ends one message of a turn, not the turn.
  if (end_of_message && !(has_return_or_flush && has_call)) {
    ends.push_back(*end_of_message);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

}  // namespace plimsoll::text
