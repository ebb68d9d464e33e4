// Listens on addresses and a unix socket, reads requests within limits, and gives them to the
// handlers of a Router.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "server/http/access_log.h"
#include "server/http/http_error.h"
#include "server/http/limits.h"
#include "server/http/request_parser.h"
#include "server/http/router.h"

namespace plimsoll::server::http {

inline constexpr uint16_t kDefaultPort = 8642;

struct HttpOptions {
  std::string host = "127.0.0.1";    // a name or an address; "": none, only the unix socket
  uint16_t port = kDefaultPort;      // 0: any that is free
  std::string unix_socket;           // a path; "": none. Only this user may connect
  std::string tls_certificate_file;  // PEM, with the chain; together with the key, or neither
  std::string tls_key_file;
  std::vector<std::string> api_keys;  // none: nobody needs one, and the host must be a loopback one
  std::vector<std::string> cors_origins;   // of AccessOptions
  std::vector<std::string> allowed_hosts;  // likewise
  Limits limits;
  uint32_t n_handler_threads = 2;
  LogFormat log_format = LogFormat::kNone;
  AccessLog::WriteFn write_log;  // empty: to standard error
  // Asked for the memory of connections, requests and responses. Must outlive all Exchanges.
  ChargeFn charge;
  ErrorBodyFn error_body;  // of what is refused here; empty: OpenAI's object
};

class HttpServer {
 public:
  // kPortOrPermission for an address that cannot be had, kUsage for options that contradict each
  // other, such as an address that others can reach, without an API key.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> Start(const HttpOptions& options,
                                                                 Router router);
  // Cuts what there is.
  virtual ~HttpServer() = default;

  // Requests that come from now on go to these routes. Thread-safe.
  virtual void SetRouter(Router router) = 0;
  // Where it listens: "http://127.0.0.1:8642", "unix:/run/plimsoll.sock".
  [[nodiscard]] virtual const std::vector<std::string>& addresses() const = 0;
  [[nodiscard]] virtual uint16_t port() const = 0;  // 0: none
  [[nodiscard]] virtual ConnectionStats stats() const = 0;

  // Takes no more connections, and closes those without a request; the others close behind their
  // response.
  virtual void StopAccepting() = 0;
  // The same, waits until no connection is left, and cuts those that are there at the deadline.
  // Whether none had to be. `hurry`, asked several times a second, ends the waiting early.
  virtual bool Drain(std::chrono::steady_clock::time_point deadline,
                     const std::function<bool()>& hurry) = 0;
};

}  // namespace plimsoll::server::http
