// A request that this layer refuses by itself, and the response that says so.
#pragma once

#include <functional>
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

// JSON that says it, for the clients of a path (without its query; "" when the request's first line
// could not be read). Called by any thread.
using ErrorBodyFn = std::function<std::string(const HttpError&, std::string_view path)>;

// OpenAI's error object as JSON, and the response with it or with what others want instead.
[[nodiscard]] std::string ErrorBody(const HttpError& error);
[[nodiscard]] Response ErrorResponse(const HttpError& error);
[[nodiscard]] Response ErrorResponse(const HttpError& error, std::string body);

}  // namespace plimsoll::server::http
