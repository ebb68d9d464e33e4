// A request that this layer refuses by itself, and the response that says so.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/http/exchange.h"
#include "server/http/limits.h"

namespace plimsoll::server::http {

struct HttpError {
  unsigned status = 400;
  std::string code;     // "request_timeout"
  std::string message;  // holds nothing that the client sent
  std::optional<Breach> breach = std::nullopt;
};

// "Not Found"; "" for a status that has no name here.
[[nodiscard]] std::string_view ReasonPhrase(unsigned status);

// OpenAI's error object as JSON.
[[nodiscard]] Response ErrorResponse(const HttpError& error);

}  // namespace plimsoll::server::http
