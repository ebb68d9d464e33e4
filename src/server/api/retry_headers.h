// What tells clients whether and when to try again.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "server/api/api_error.h"

namespace plimsoll::server::api {

// retry-after (whole seconds) with retry-after-ms, and x-should-retry: as the error has them.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> RetryHeaders(const ApiError& error);

}  // namespace plimsoll::server::api
