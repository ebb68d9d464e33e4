// What a client is told when its request cannot be met.
#pragma once

#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "base/result.h"

namespace plimsoll::server::api {

// The fields of OpenAI's error object; other dialects write what they have of them.
struct ApiError {
  unsigned status = 400;
  std::string message;  // never echoes the request's bytes but for names
  std::string type = "invalid_request_error";
  std::string code;                           // "": null
  std::string param;                          // "": null
  std::optional<double> retry_after_seconds;  // with 429
  // False: "x-should-retry: false" is sent, since another try would fail as well.
  bool may_retry = true;
};

template <class T = void>
using ApiResult = tl::expected<T, ApiError>;

}  // namespace plimsoll::server::api
