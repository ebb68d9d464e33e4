#include "server/http/request_parser.h"

#include <algorithm>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "server/http/target.h"

namespace plimsoll::server::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;

constexpr uint64_t kFirstBodyBytes = 4 << 10;
// Of a chunk's size with its extensions, and of all trailers.
constexpr size_t kMaxChunkHeadBytes = 8 << 10;

HttpError Malformed(std::string message) {
  return {.status = 400, .code = "bad_request", .message = std::move(message)};
}

std::string Lower(beast::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  return lower;
}

size_t CountOf(const Request& request, std::string_view name) {
  return static_cast<size_t>(
      std::ranges::count_if(request.headers, [&](const auto& h) { return h.first == name; }));
}

bool IsNumber(std::string_view text) {
  return !text.empty() && text.size() < 19 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// What of the headers would let two readers see two different requests, or that is not met here.
std::optional<HttpError> CheckHeaders(const Request& request, bool is_http_1_0) {
  const size_t n_hosts = CountOf(request, "host");
  if (n_hosts > 1 || (n_hosts == 0 && !is_http_1_0)) {
    return Malformed("a request has one Host header");
  }
  const size_t n_lengths = CountOf(request, "content-length");
  const size_t n_encodings = CountOf(request, "transfer-encoding");
  if (n_lengths + n_encodings > 1) {
    return Malformed("a request has one Content-Length or one Transfer-Encoding, not several");
  }
  if (n_lengths == 1 && !IsNumber(*request.Header("content-length"))) {
    return Malformed("Content-Length is a number of bytes");
  }
  if (n_encodings == 1 &&
      (is_http_1_0 || Lower(*request.Header("transfer-encoding")) != "chunked")) {
    return HttpError{.status = 501,
                     .code = "unsupported_transfer_encoding",
                     .message = "the only Transfer-Encoding is chunked, with HTTP/1.1"};
  }
  if (request.Header("content-encoding") &&
      Lower(*request.Header("content-encoding")) != "identity") {
    return HttpError{.status = 415,
                     .code = "unsupported_content_encoding",
                     .message = "bodies are not compressed: leave Content-Encoding out"};
  }
  if (request.Header("expect") && Lower(*request.Header("expect")) != "100-continue") {
    return HttpError{.status = 417,
                     .code = "unsupported_expectation",
                     .message = "the only Expect is 100-continue"};
  }
  return std::nullopt;
}

}  // namespace

// What Beast's parser finds becomes the request here.
class RequestParser::Message final : public beast::http::basic_parser<true> {
 public:
  Message(const Limits& limits, const ChargeFn& charge) : limits_(limits), charge_(charge) {
    header_limit(limits.max_header_bytes + 1);
    body_limit(limits.max_body_bytes);
    eager(true);
  }
  ~Message() override { Charge(-static_cast<int64_t>(std::exchange(charged, 0))); }

  Request request;
  std::string target;
  bool is_http_1_0 = false;
  bool has_no_memory = false;
  uint64_t charged = 0;

 private:
  void on_request_impl(beast::http::verb /*verb*/, beast::string_view method, beast::string_view to,
                       int version, error_code& /*ec*/) override {
    request.method = method;
    target = to;
    is_http_1_0 = version == 10;
  }
  void on_response_impl(int /*code*/, beast::string_view /*reason*/, int /*version*/,
                        error_code& /*ec*/) override {}
  void on_field_impl(beast::http::field /*field*/, beast::string_view name,
                     beast::string_view value, error_code& /*ec*/) override {
    if (!has_head_) {  // trailers are read and forgotten
      request.headers.emplace_back(Lower(name), std::string(value));
    }
  }
  void on_header_impl(error_code& /*ec*/) override { has_head_ = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/,
                         error_code& /*ec*/) override {}
  std::size_t on_body_impl(beast::string_view bytes, error_code& ec) override {
    return Append(bytes, ec);
  }
  void on_chunk_header_impl(std::uint64_t /*size*/, beast::string_view /*extensions*/,
                            error_code& /*ec*/) override {}
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, beast::string_view bytes,
                                 error_code& ec) override {
    return Append(bytes, ec);
  }
  void on_finish_impl(error_code& /*ec*/) override {}

  std::size_t Append(beast::string_view bytes, error_code& ec) {
    const uint64_t needed = request.body.size() + bytes.size();
    if (needed > charged) {
      // Doubled, so that a client is charged for what it sent and not for what it says it will.
      const uint64_t wanted = std::max(
          needed, std::min(std::max(kFirstBodyBytes, 2 * charged), limits_.max_body_bytes));
      if (!Charge(static_cast<int64_t>(wanted - charged))) {
        has_no_memory = true;
        ec = beast::http::error::buffer_overflow;
        return 0;
      }
      charged = wanted;
      request.body.reserve(wanted);
    }
    request.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  bool Charge(int64_t bytes) const { return bytes == 0 || !charge_ || charge_(bytes); }

  const Limits& limits_;
  const ChargeFn& charge_;
  bool has_head_ = false;
};

RequestParser::RequestParser(const Limits& limits, const ChargeFn& charge)
    : limits_(limits), message_(std::make_unique<Message>(limits, charge)) {}

RequestParser::~RequestParser() = default;

RequestParser::State RequestParser::state() const { return state_; }
const HttpError& RequestParser::error() const { return error_; }
bool RequestParser::begun() const { return !head_.empty() || state_ != State::kHead; }
Request& RequestParser::request() { return message_->request; }
bool RequestParser::is_http_1_0() const { return message_->is_http_1_0; }
bool RequestParser::keep_alive() const { return message_->keep_alive(); }
bool RequestParser::expects_continue() const { return expects_continue_; }
uint64_t RequestParser::body_bytes() const { return message_->request.body.size(); }
uint64_t RequestParser::TakeBodyCharge() { return std::exchange(message_->charged, 0); }

size_t RequestParser::Put(std::string_view bytes) {
  switch (state_) {
    case State::kHead:
      return PutHead(bytes);
    case State::kBody:
      return PutBody(bytes);
    default:
      return 0;
  }
}

void RequestParser::Fail(HttpError error) {
  error_ = std::move(error);
  state_ = State::kFailed;
}

size_t RequestParser::PutHead(std::string_view bytes) {
  size_t used = 0;
  if (head_.empty() && bytes.starts_with("\r\n")) {
    used = 2;  // some clients end a body with an empty line
  } else if (head_.empty() && bytes == "\r") {
    return 0;
  }
  for (; used < bytes.size() && state_ == State::kHead; ++used) {
    const char c = bytes[used];
    const char before = head_.empty() ? '\0' : head_.back();
    const bool starts_line = head_.size() == line_start_;
    head_.push_back(c);
    const size_t line_bytes = head_.size() - line_start_;
    if (n_lines_ == 0 &&
        line_bytes > limits_.max_request_line_bytes + (c == '\r' ? 1 : 0) + (c == '\n' ? 2 : 0)) {
      Fail({.status = 414,
            .code = "request_line_too_long",
            .message = "the request line is too long",
            .breach = Breach::kRequestLine});
    } else if (head_.size() > limits_.max_header_bytes) {
      Fail({.status = 431,
            .code = "headers_too_large",
            .message = "the headers are too large",
            .breach = Breach::kHeaderBytes});
    } else if ((c == '\n') != (before == '\r')) {
      Fail(Malformed("a line of the headers ends with CR LF"));
    } else if (static_cast<unsigned char>(c) < ' ' && c != '\t' && c != '\r' && c != '\n') {
      Fail(Malformed("there is a control character in the headers"));
    } else if (starts_line && (c == ' ' || c == '\t')) {
      Fail(Malformed("headers are not folded over several lines"));
    } else if (c == '\n' && line_bytes == 2) {
      FinishHead();
    } else if (c == '\n') {
      line_start_ = head_.size();
      if (++n_lines_ > 1 + limits_.max_header_fields) {
        Fail({.status = 431,
              .code = "too_many_headers",
              .message = "there are too many headers",
              .breach = Breach::kHeaderFields});
      }
    }
  }
  return used;
}

void RequestParser::FinishHead() {
  error_code ec;
  const size_t used = message_->put(boost::asio::buffer(head_), ec);
  if (ec == beast::http::error::bad_version) {
    return Fail({.status = 505,
                 .code = "unsupported_http_version",
                 .message = "this server speaks HTTP/1.1 and HTTP/1.0"});
  }
  if (ec == beast::http::error::body_limit) {
    // The refusal is worded for whoever asks at that path.
    Request& request = message_->request;
    if (auto target = ParseTarget(message_->target, request.Header("host").value_or(""))) {
      request.path = std::move(target->path);
    }
    return Fail({.status = 413,
                 .code = "body_too_large",
                 .message = "the body is too large",
                 .breach = Breach::kBodyBytes});
  }
  if ((ec && ec != beast::http::error::need_more) || used != head_.size() ||
      !message_->is_header_done()) {
    return Fail(Malformed("this is no request of HTTP/1.1"));
  }
  Request& request = message_->request;
  if (auto wrong = CheckHeaders(request, message_->is_http_1_0)) {
    return Fail(std::move(*wrong));
  }
  auto target = ParseTarget(message_->target, request.Header("host").value_or(""));
  if (!target) {
    return Fail(std::move(target.error()));
  }
  if (target->path == "*" && request.method != "OPTIONS") {
    return Fail(Malformed("the target * is of OPTIONS alone"));
  }
  request.path = std::move(target->path);
  request.query = std::move(target->query);
  expects_continue_ = request.Header("expect").has_value() && !message_->is_http_1_0;
  state_ = message_->is_done() ? State::kDone : State::kBody;
  head_ = {};
}

size_t RequestParser::PutBody(std::string_view bytes) {
  error_code ec;
  const size_t used = message_->put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
  if (message_->has_no_memory) {
    Fail({.status = 503,
          .code = "out_of_memory",
          .message = "there is no memory for this body now",
          .breach = Breach::kMemory});
  } else if (ec == beast::http::error::body_limit) {
    Fail({.status = 413,
          .code = "body_too_large",
          .message = "the body is too large",
          .breach = Breach::kBodyBytes});
  } else if ((ec && ec != beast::http::error::need_more) ||
             (used == 0 && bytes.size() > kMaxChunkHeadBytes)) {
    Fail(Malformed("the chunks of the body are malformed"));
  } else if (message_->is_done()) {
    state_ = State::kDone;
  }
  return used;
}

}  // namespace plimsoll::server::http
