// OpenAI's requests, and those of llama-server that go with them, as the engine knows them.
//
// What is accepted and what is refused: docs/api.md. In short: unknown members are accepted, values
// out of range or of a wrong type and known ones without support are errors with `param`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "server/api/api_error.h"
#include "server/api/task_request.h"

namespace plimsoll::server::api::openai {

// POST /v1/chat/completions, also what /apply-template takes.
[[nodiscard]] ApiResult<TaskRequest> ParseChatRequest(std::string_view body);

// POST /v1/completions: a Task with PlainPrompts.
[[nodiscard]] ApiResult<TaskRequest> ParseCompletionRequest(std::string_view body);

struct EmbeddingRequest {
  std::string model;
  std::vector<std::variant<std::string, std::vector<TokenId>>> inputs;  // 1 to kMaxInputs
  bool base64 = false;
  std::vector<std::string> unknown;
};
inline constexpr size_t kMaxInputs = 2048;

// POST /v1/embeddings.
[[nodiscard]] ApiResult<EmbeddingRequest> ParseEmbeddingRequest(std::string_view body);

struct TokenizeRequest {
  std::string model;
  std::string content;
  bool add_special = false;   // BOS and EOS as the vocabulary wants them
  bool parse_special = true;  // control tokens written in the text become those tokens
  bool with_pieces = false;
};

// POST /tokenize.
[[nodiscard]] ApiResult<TokenizeRequest> ParseTokenizeRequest(std::string_view body);

struct DetokenizeRequest {
  std::string model;
  std::vector<TokenId> tokens;
};

// POST /detokenize.
[[nodiscard]] ApiResult<DetokenizeRequest> ParseDetokenizeRequest(std::string_view body);

}  // namespace plimsoll::server::api::openai
