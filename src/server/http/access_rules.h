// Who may ask: the Host that a request is meant for, the web page that it comes from, and its key.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/http/api_keys.h"
#include "server/http/exchange.h"
#include "server/http/http_error.h"

namespace plimsoll::server::http {

// How a request came.
struct Entrance {
  std::string local_address;  // of this end: "127.0.0.1"; "" through a unix socket
  bool is_tls = false;
};

struct AccessOptions {
  std::string host;  // as the server was told to listen on
  // Further names in Host; "*": any.
  std::vector<std::string> allowed_hosts;
  // Origins ("https://chat.example") whose pages may ask beside the server's own; "*": all.
  std::vector<std::string> cors_origins;
  ApiKeys keys;
};

// Immutable.
class AccessRules {
 public:
  // kUsage for an origin that is none.
  [[nodiscard]] static Result<AccessRules> Create(AccessOptions options);

  [[nodiscard]] bool has_keys() const { return !o_.keys.empty(); }

  // Why the request is refused whatever it asks for: a Host by which a foreign name was made to
  // point here (DNS rebinding), or a foreign web page.
  [[nodiscard]] std::optional<HttpError> CheckSender(const Request& request,
                                                     const Entrance& entrance) const;
  [[nodiscard]] std::optional<HttpError> CheckKey(const Request& request) const;

  // The headers with which a browser lets the page read the response. Made of the options alone.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> CorsHeaders(
      const Request& request) const;
  // Whether an OPTIONS request is a browser's question if it may ask.
  [[nodiscard]] static bool IsPreflight(const Request& request);
  // The answer, once CheckSender has passed.
  [[nodiscard]] Response AnswerPreflight(const Request& request, std::string_view methods) const;

 private:
  explicit AccessRules(AccessOptions options) : o_(std::move(options)) {}
  // The option that this origin matches.
  [[nodiscard]] const std::string* FindOrigin(std::string_view origin) const;

  AccessOptions o_;
};

// "LOCALHOST:80" → "localhost"; "[::1]:80" → "::1". Nothing when it is no host with an optional
// port.
[[nodiscard]] std::optional<std::string> HostName(std::string_view host);

}  // namespace plimsoll::server::http
