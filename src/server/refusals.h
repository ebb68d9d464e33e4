// Refusals by layers below the dialects, as the clients of a path read them.
#pragma once

#include <string>
#include <string_view>

#include "server/http/http_error.h"

namespace plimsoll::server {

// Whether the clients of the path read another form than OpenAI's.
[[nodiscard]] bool HasOwnRefusals(std::string_view path);

// Anthropic's form under /v1/messages, Ollama's under /api/, OpenAI's elsewhere.
[[nodiscard]] std::string RefusalBody(const http::HttpError& error, std::string_view path);

}  // namespace plimsoll::server
