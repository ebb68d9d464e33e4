// Ollama's requests as the engine knows them. What is accepted and what is refused: docs/api.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/api_error.h"
#include "server/api/ollama/replies.h"
#include "server/api/task_request.h"

namespace plimsoll::server::api::ollama {

struct TextRequest {
  TaskRequest request;
  ReplyOptions reply;
  std::optional<uint32_t> n_ctx;  // the context that the client counts on
  // There is nothing to answer: the model is only to be loaded, or unloaded.
  bool only_load = false;
  bool only_unload = false;
};

// POST /api/chat and /api/generate.
[[nodiscard]] ApiResult<TextRequest> ParseChatRequest(std::string_view body);
[[nodiscard]] ApiResult<TextRequest> ParseGenerateRequest(std::string_view body);

// 400 when the client counts on more than the model's context here.
[[nodiscard]] ApiResult<> CheckContext(std::optional<uint32_t> wanted, uint32_t n_ctx);

struct EmbedRequest {
  std::string model;
  std::vector<std::string> inputs;
  bool truncate = false;  // an input that is too long is cut; only when it is asked for
  std::optional<uint32_t> n_ctx;
  std::vector<std::string> unknown;
};

// POST /api/embed.
[[nodiscard]] ApiResult<EmbedRequest> ParseEmbedRequest(std::string_view body);

// POST /api/show: the model's name.
[[nodiscard]] ApiResult<std::string> ParseShowRequest(std::string_view body);

}  // namespace plimsoll::server::api::ollama
