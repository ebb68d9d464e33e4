// Anthropic's requests as the engine knows them. What is accepted and what is refused: docs/api.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/api/api_error.h"
#include "server/api/task_request.h"

namespace plimsoll::server::api::anthropic {

// POST /v1/messages.
[[nodiscard]] ApiResult<TaskRequest> ParseMessagesRequest(std::string_view body);

struct CountTokensRequest {
  std::string model;
  Conversation conversation;
  std::vector<std::string> unknown;
};

// POST /v1/messages/count_tokens: the members of the above that make the prompt.
[[nodiscard]] ApiResult<CountTokensRequest> ParseCountTokensRequest(std::string_view body);

}  // namespace plimsoll::server::api::anthropic
