// OpenAI's /v1/responses request as the engine knows it, without anything that would have to be
// kept. What is accepted and what is refused: docs/api.md.
#pragma once

#include <string_view>

#include "server/api/api_error.h"
#include "server/api/task_request.h"

namespace plimsoll::server::api::responses {

// POST /v1/responses.
[[nodiscard]] ApiResult<TaskRequest> ParseResponsesRequest(std::string_view body);

}  // namespace plimsoll::server::api::responses
