// Requests out of a connection's bytes. Knows no sockets and no time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/exchange.h"
#include "server/http/http_error.h"
#include "server/http/limits.h"

namespace plimsoll::server::http {

// Asks for memory (> 0), or gives it back; false when there is none. Thread-safe, does not block.
using ChargeFn = std::function<bool(int64_t bytes)>;

// Reads one request. Stricter than RFC 9112 asks for: line ends are CR LF, no folded lines, one
// Host, one Content-Length of digits or one "Transfer-Encoding: chunked" but not both.
class RequestParser {
 public:
  enum class State {
    kHead,    // waits for the end of the headers
    kBody,    // the headers are there, the body is not
    kDone,    // all is there
    kFailed,  // error() says why; nothing behind it can be read
  };

  // `limits` and `charge` must outlive it. The body's memory is charged before it is taken; whoever
  // takes the request has to give request().body's charge back: body_charge() bytes.
  RequestParser(const Limits& limits, const ChargeFn& charge);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Reads on; how many of `bytes` it has used. The others are to be given again with those that
  // follow them. Stops where the headers end and where the request ends.
  size_t Put(std::string_view bytes);

  [[nodiscard]] State state() const;
  [[nodiscard]] const HttpError& error() const;
  // Whether a byte of the request has come.
  [[nodiscard]] bool begun() const;

  // From kBody on. `path` and `query` are of the target, `id` is not set here.
  [[nodiscard]] Request& request();
  [[nodiscard]] bool is_http_1_0() const;
  // Whether the client wants to go on with this connection.
  [[nodiscard]] bool keep_alive() const;
  // Whether it waits to be told to send the body.
  [[nodiscard]] bool expects_continue() const;
  [[nodiscard]] uint64_t body_bytes() const;  // so far
  // Of the memory that was charged for the body; none from then on.
  [[nodiscard]] uint64_t TakeBodyCharge();

 private:
  class Message;

  size_t PutHead(std::string_view bytes);
  size_t PutBody(std::string_view bytes);
  void FinishHead();
  void Fail(HttpError error);

  const Limits& limits_;
  std::unique_ptr<Message> message_;
  State state_ = State::kHead;
  HttpError error_;
  std::string head_;
  size_t line_start_ = 0;
  uint32_t n_lines_ = 0;
  bool expects_continue_ = false;
};

}  // namespace plimsoll::server::http
