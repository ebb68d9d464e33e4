#include "server/api/retry_headers.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace plimsoll::server::api {

std::vector<std::pair<std::string, std::string>> RetryHeaders(const ApiError& error) {
  constexpr double kLongest = 86400;
  std::vector<std::pair<std::string, std::string>> headers;
  if (error.retry_after_seconds) {
    const double seconds = std::clamp(*error.retry_after_seconds, 0.0, kLongest);
    const auto whole = static_cast<uint32_t>(std::ceil(seconds));
    headers.emplace_back("Retry-After", std::to_string(std::max(whole, 1U)));
    headers.emplace_back("retry-after-ms",
                         std::to_string(static_cast<uint32_t>(std::ceil(seconds * 1000))));
  }
  if (!error.may_retry) headers.emplace_back("x-should-retry", "false");
  return headers;
}

}  // namespace plimsoll::server::api
