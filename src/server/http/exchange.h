// One request and its response, as handlers see them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace plimsoll::server::http {

struct Request {
  std::string method;  // "GET"
  std::string path;    // of the target, decoded: "/v1/models"; no query
  std::string query;   // behind the "?", as it came
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string id;  // the client's x-request-id if it is a good one, else one of ours

  // The first header of that name (lower case), or nothing.
  [[nodiscard]] std::optional<std::string_view> Header(std::string_view name) const;
};

struct Response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  // Further headers. Never made of what a client sent.
  std::vector<std::pair<std::string, std::string>> headers;
};

// Thread-safe. Whoever holds it keeps the connection's request open: exactly one of Respond and
// Begin is called for each, and after Begin exactly one of End and Abort. When the last holder goes
// without that, the client gets a 500 or, in a stream, a reset.
class Exchange {
 public:
  virtual ~Exchange() = default;

  [[nodiscard]] virtual const Request& request() const = 0;
  virtual void Respond(Response response) = 0;

  // To be called before either, by who may have to wait for long: when nothing has been answered
  // for a while (Limits::pad_after), this head leaves and is followed by `keep_alive`, as if by
  // Begin, so that the client goes on waiting. Respond then only adds its body; when its status is
  // not the head's, the response ends as by Abort, since the client was told another one. Begin
  // then adds its body, and goes on.
  virtual void AnswerLater(const Response& /*head*/, const std::string& /*keep_alive*/) {}
  // Whether the status and headers are on their way.
  [[nodiscard]] virtual bool has_begun() const { return false; }

  // A response whose body comes bit by bit (chunked); its status and headers leave at once.
  // `keep_alive` is sent by itself whenever nothing else was for some seconds, the first time
  // at once: ": ping\n\n" in an event stream, a space in JSON; empty: nothing is.
  virtual void Begin(Response head, std::string keep_alive) = 0;
  // Queues a part of the body and returns at once. False when the client is gone or was cut off:
  // there is nobody to send to.
  virtual bool Send(std::string part) = 0;
  virtual void End() = 0;
  // Closes the connection such that the client sees that the response is not whole.
  virtual void Abort() = 0;

  // What Send has taken and the socket has not.
  [[nodiscard]] virtual uint64_t unsent_bytes() const = 0;
  // Calls `on_gone` once, on some thread, when the client goes away before the response has ended;
  // at once when it has gone already.
  virtual void OnGone(std::function<void()> on_gone) = 0;
};

// Called for each request whose body has arrived, on a thread that may compute for a while
// (tokenize, render) but not wait.
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

}  // namespace plimsoll::server::http
