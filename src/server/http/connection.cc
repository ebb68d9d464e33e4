#include "server/http/connection.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "server/http/http_error.h"
#include "server/http/response_head.h"

// A co_await stands in a statement of its own: as part of a condition g++-12 compiles it wrongly.
namespace plimsoll::server::http {
namespace {

namespace asio = boost::asio;

constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kReadAheadBytes = 16 << 10;
constexpr uint64_t kLeastRequestBytes = 2 << 10;  // of a request that is being read
// Head and body that are no more than this leave together.
constexpr size_t kJoinedBytes = 64 << 10;
// How long a new connection may be silent before it counts as idle.
constexpr auto kFirstRequestTime = std::chrono::seconds(1);
// How long a server that stops waits for the rest of a request's headers.
constexpr auto kHeaderTimeAtEnd = std::chrono::seconds(1);
constexpr auto kLingerTime = std::chrono::seconds(2);
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

void StatsCounter::Add(Field field, int64_t n) {
  const std::scoped_lock lock(mutex_);
  stats_.*field += static_cast<uint64_t>(n);
}

void StatsCounter::Add(Breach breach) {
  const std::scoped_lock lock(mutex_);
  ++stats_.breaches[static_cast<size_t>(breach)];
}

void StatsCounter::AddResponse(unsigned status) {
  const std::scoped_lock lock(mutex_);
  ++stats_.responses[std::min<size_t>(status / 100, stats_.responses.size() - 1)];
}

ConnectionStats StatsCounter::Snapshot() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

void Event::Set() {
  is_set_ = true;
  timer_.cancel();
}

asio::awaitable<void> Event::Wait() {
  while (!is_set_) {
    timer_.expires_at(asio::steady_timer::time_point::max());
    (void)co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  is_set_ = false;
}

Connection::Connection(ConnectionHub& hub, std::unique_ptr<Transport> transport, Entrance entrance,
                       std::string peer, std::string address, int64_t charged)
    : hub_(hub),
      transport_(std::move(transport)),
      entrance_(std::move(entrance)),
      peer_(std::move(peer)),
      address_(std::move(address)),
      charged_(charged),
      wake_(hub.io),
      room_(hub.io),
      phase_since_(Clock::now()) {
  hub_.connections.insert(this);
  hub_.stats.Add(&ConnectionStats::active_connections);
}

Connection::~Connection() {
  if (queue_) {
    queue_->Gone();
  }
  hub_.connections.erase(this);
  hub_.stats.Add(&ConnectionStats::active_connections, -1);
  if (hub_.charge) {
    (void)hub_.charge(-charged_ - static_cast<int64_t>(request_charge_));
  }
  if (hub_.on_closed) {
    hub_.on_closed(*this);
  }
}

void Connection::Start() {
  asio::co_spawn(
      hub_.io, [self = shared_from_this()] { return self->Serve(); },
      [self = shared_from_this()](const std::exception_ptr& failed) {
        if (failed) {  // memory: this connection ends, no other does
          self->Cut();
        }
      });
}

void Connection::TurnAway() {
  asio::co_spawn(
      hub_.io,
      [self = shared_from_this()]() -> asio::awaitable<void> {
        Response response = ErrorResponse({.status = 503,
                                           .code = "too_many_connections",
                                           .message = "there are too many connections"});
        response.headers.emplace_back("Retry-After", "1");
        self->closing_ = true;
        const std::string head = FormatHead(response, {.request_id = "none",
                                                       .keep_alive = false,
                                                       .content_length = response.body.size(),
                                                       .cors = {},
                                                       .unix_seconds = UnixSeconds()});
        self->Enter(Phase::kLinger);
        const std::string text = head + response.body;
        (void)co_await self->Write(text, nullptr, 0);
        co_await self->Finish();
      },
      asio::detached);
}

void Connection::Enter(Phase phase) {
  phase_ = phase;
  phase_since_ = Clock::now();
  window_since_ = phase_since_;
  window_bytes_ = 0;
}

std::optional<Connection::Clock::time_point> Connection::idle_since() const {
  const bool is_new = n_requests_ == 0 && Clock::now() - phase_since_ < kFirstRequestTime;
  return phase_ == Phase::kIdle && !is_new ? std::optional(phase_since_) : std::nullopt;
}

void Connection::CloseIdle() {
  closes_idle_ = true;
  wake_.Set();
}

void Connection::BeginDrain() {
  closing_ = true;
  wake_.Set();
}

void Connection::Cut() {
  if (queue_) {
    queue_->Gone();
  }
  closing_ = true;
  peer_gone_ = true;
  broken_ = true;
  transport_->Close(true);
  wake_.Set();
  room_.Set();
}

void Connection::CheckWindow(Clock::time_point now, std::chrono::milliseconds window,
                             Breach breach) {
  if (now - window_since_ < window) {
    return;
  }
  const double wanted = static_cast<double>(hub_.limits.min_bytes_per_second) *
                        std::chrono::duration<double>(window).count();
  if (static_cast<double>(window_bytes_) >= wanted) {
    window_since_ = now;
    window_bytes_ = 0;
    return;
  }
  hub_.stats.Add(breach);
  if (breach == Breach::kBodyTime) {
    too_slow_ = true;
    wake_.Set();
  } else {
    Cut();
  }
}

void Connection::Tick(Clock::time_point now) {
  if (peer_gone_) {
    return;
  }
  switch (phase_) {
    case Phase::kHandshake:
    case Phase::kHead:
      if (now - phase_since_ >= hub_.limits.max_header_time ||
          (hub_.draining && now - phase_since_ >= kHeaderTimeAtEnd)) {
        hub_.stats.Add(Breach::kHeaderTime);
        Cut();
      }
      return;
    case Phase::kIdle:
      if (now - phase_since_ >= hub_.limits.max_idle && !closes_idle_) {
        hub_.stats.Add(Breach::kIdle);
        CloseIdle();
      }
      return;
    case Phase::kBody:
      return CheckWindow(now, hub_.limits.body_window, Breach::kBodyTime);
    case Phase::kAnswer:
      if (writing_) {
        return CheckWindow(now, hub_.limits.max_stall, Breach::kStall);
      }
      if (queue_) {
        queue_->Ping(now);
      }
      return;
    case Phase::kLinger:
      if (now - phase_since_ >= kLingerTime) {
        Cut();
      }
      return;
  }
}

asio::awaitable<void> Connection::Serve() {
  const bool ready = co_await transport_->Handshake();
  if (!ready) {
    hub_.stats.Add(&ConnectionStats::tls_failures);
    transport_->Close(true);
    co_return;
  }
  reader_runs_ = true;
  asio::co_spawn(
      hub_.io, [self = shared_from_this()] { return self->ReadLoop(); },
      [self = shared_from_this()](const std::exception_ptr& failed) {
        self->reader_runs_ = false;
        if (failed) {
          self->Cut();
        }
      });
  while (true) {
    const Outcome outcome = co_await ReadRequest();
    if (outcome == Outcome::kEnd) {
      break;
    }
    co_await Answer();
    if (closing_ || peer_gone_) {
      break;
    }
  }
  co_await Finish();
}

asio::awaitable<void> Connection::ReadLoop() {
  while (!reader_stops_) {
    if (in_.size() >= kReadAheadBytes) {
      co_await room_.Wait();
      continue;
    }
    const size_t n_before = in_.size();
    const bool more = co_await transport_->Read(in_, kReadBytes);
    hub_.stats.Add(&ConnectionStats::bytes_received, static_cast<int64_t>(in_.size() - n_before));
    if (!more) {
      break;
    }
    wake_.Set();
  }
  reader_runs_ = false;
  if (!reader_stops_) {
    peer_gone_ = true;
    if (queue_) {
      queue_->Gone();
    }
  }
  wake_.Set();
}

// The first byte of a request is there.
std::optional<Connection::Outcome> Connection::OnStarted() {
  Enter(Phase::kHead);
  request_since_ = phase_since_;
  head_bytes_ = 0;
  return ChargeRequest(false);
}

// For what has come of the head, twice, since it is kept in parts too; and when all of the request
// is there, for what may come behind it. Whoever sends slowly is charged for little.
std::optional<Connection::Outcome> Connection::ChargeRequest(bool is_read) {
  const uint64_t n_head = std::min<uint64_t>(head_bytes_, hub_.limits.max_header_bytes);
  const uint64_t wanted = kLeastRequestBytes + 2 * n_head + (is_read ? kReadAheadBytes : 0);
  const uint64_t more = wanted - std::min(wanted, request_charge_);
  if (more > 0 && hub_.charge && !hub_.charge(static_cast<int64_t>(more))) {
    hub_.stats.Add(Breach::kMemory);
    unread_ = true;
    Refuse({.status = 503,
            .code = "out_of_memory",
            .message = "there is no memory for this request now"});
    return Outcome::kRefused;
  }
  request_charge_ += more;
  return std::nullopt;
}

void Connection::Refuse(const HttpError& error) {
  if (error.breach) {
    hub_.stats.Add(*error.breach);
  }
  decision_ = {.response = ErrorFor(error), .route = nullptr, .router = nullptr};
}

// As the clients of the request's path read it.
Response Connection::ErrorFor(const HttpError& error) {
  return hub_.error_body ? ErrorResponse(error, hub_.error_body(error, parser_->request().path))
                         : ErrorResponse(error);
}

// The headers are there: what does not depend on the body is decided, so that nobody sends a body
// in vain.
void Connection::OnHead() {
  Request& request = parser_->request();
  hub_.stats.Add(&ConnectionStats::requests);
  is_http_1_0_ = parser_->is_http_1_0();
  Decide(request);
  cors_ = hub_.rules.CorsHeaders(request);
  if (++n_requests_ >= hub_.limits.max_requests) {
    hub_.stats.Add(Breach::kRequests);
    closing_ = true;
  }
  if (!parser_->keep_alive()) {
    closing_ = true;
  }
}

void Connection::Decide(Request& request) {
  if (auto refused = hub_.rules.CheckSender(request, entrance_)) {
    hub_.stats.Add(&ConnectionStats::refused);
    return Refuse(*refused);
  }
  const Router::Match match = hub_.router->Find(request.method, request.path);
  const Router::Match get =
      request.method == "HEAD" ? hub_.router->Find("GET", request.path) : match;
  if (AccessRules::IsPreflight(request)) {
    decision_ = {.response = hub_.rules.AnswerPreflight(request, match.allowed)};
    return;
  }
  const Route* const route = get.route;
  if (route == nullptr || !route->open) {
    if (auto refused = hub_.rules.CheckKey(request)) {
      hub_.stats.Add(&ConnectionStats::refused);
      return Refuse(*refused);
    }
  }
  if (route == nullptr) {
    decision_ = {.response = NoRoute(request, get.allowed)};
    return;
  }
  decision_ = {.response = std::nullopt, .route = route, .router = hub_.router};
}

Response Connection::NoRoute(const Request& request, const std::string& allowed) {
  if (request.method == "OPTIONS" && (request.path == "*" || !allowed.empty())) {
    Response response;
    response.status = 204;
    if (!allowed.empty()) {
      response.headers.emplace_back("Allow", allowed);
    }
    return response;
  }
  if (allowed.empty()) {
    return ErrorFor(
        {.status = 404, .code = "unknown_url", .message = "there is nothing at this path"});
  }
  Response response = ErrorFor(
      {.status = 405, .code = "method_not_allowed", .message = "this path takes " + allowed});
  response.headers.emplace_back("Allow", allowed);
  return response;
}

asio::awaitable<Connection::Outcome> Connection::ReadRequest() {
  parser_.emplace(hub_.limits, hub_.charge);
  decision_ = {};
  cors_.clear();
  unread_ = false;
  is_http_1_0_ = false;
  Enter(Phase::kIdle);
  if (in_.empty()) {
    in_ = {};  // an idle connection holds no buffer
  }
  while (true) {
    if (!in_.empty() && phase_ == Phase::kIdle) {
      if (const auto outcome = OnStarted()) {
        co_return *outcome;
      }
    }
    const RequestParser::State before = parser_->state();
    const size_t n_used = parser_->Put(in_);
    in_.erase(0, n_used);
    window_bytes_ += n_used;
    room_.Set();
    const RequestParser::State state = parser_->state();
    head_bytes_ += before == RequestParser::State::kHead ? n_used : 0;
    if (n_used > 0 && state != RequestParser::State::kFailed) {
      if (const auto outcome = ChargeRequest(state == RequestParser::State::kDone)) {
        co_return *outcome;
      }
    }
    if (state == RequestParser::State::kFailed) {
      if (before == RequestParser::State::kHead) {
        hub_.stats.Add(&ConnectionStats::requests);
      }
      hub_.stats.Add(&ConnectionStats::malformed);
      unread_ = true;
      Refuse(parser_->error());
      co_return Outcome::kRefused;
    }
    if (before == RequestParser::State::kHead && state != before) {
      OnHead();
      if (decision_.response) {
        unread_ = state != RequestParser::State::kDone;
        co_return Outcome::kRefused;
      }
      if (state == RequestParser::State::kBody) {
        if (parser_->expects_continue() && in_.empty()) {
          const bool written = co_await Write(kContinue, nullptr, 0);
          if (!written) {
            co_return Outcome::kEnd;
          }
        }
        Enter(Phase::kBody);
      }
    }
    if (state == RequestParser::State::kDone) {
      co_return Outcome::kRequest;
    }
    if (peer_gone_ || ((closing_ || closes_idle_) && phase_ == Phase::kIdle)) {
      co_return Outcome::kEnd;
    }
    if (too_slow_) {
      unread_ = true;
      Refuse({.status = 408, .code = "request_timeout", .message = "the body came too slowly"});
      co_return Outcome::kRefused;
    }
    if (n_used == 0 || in_.empty()) {
      co_await wake_.Wait();
    }
  }
}

std::shared_ptr<ResponseQueue> Connection::MakeQueue() {
  Request request = std::move(parser_->request());
  const auto shown = request.Header("x-request-id");
  request.id = shown && IsRequestId(*shown) ? std::string(*shown)
                                            : fmt::format("req-{:016x}", hub_.next_id++);
  const bool head_only = request.method == "HEAD";
  ResponseQueue::Setup setup = {
      .request = std::move(request),
      .charged_bytes = std::exchange(request_charge_, 0) + parser_->TakeBodyCharge(),
      .chunked = !is_http_1_0_,
      .head_only = head_only,
      .ping_interval = hub_.limits.ping_interval,
      .pad_after = hub_.limits.pad_after,
      .charge = hub_.charge,
      .wake = [io = &hub_.io, weak = weak_from_this()] {
        asio::post(*io, [weak] {
          if (const auto self = weak.lock()) {
            self->wake_.Set();
          }
        });
      }};
  return std::make_shared<ResponseQueue>(std::move(setup));
}

void Connection::Dispatch(const std::shared_ptr<ResponseQueue>& queue) {
  if (decision_.response) {
    queue->Respond(std::move(*decision_.response));
    return;
  }
  const auto handle = [](const Route& route, std::shared_ptr<ResponseQueue> to) {
    try {
      route.handler(MakeExchange(std::move(to)));
    } catch (const std::exception&) {
      // Without memory, say. The exchange is gone, and with it the request is answered.
    }
  };
  if (decision_.route->quick) {
    return handle(*decision_.route, queue);
  }
  asio::post(hub_.pool,
             [handle, queue, route = decision_.route, router = std::move(decision_.router)] {
               if (!queue->gone()) {
                 handle(*route, queue);
               }
             });
}

asio::awaitable<void> Connection::Answer() {
  queue_ = MakeQueue();
  const std::shared_ptr<ResponseQueue> queue = queue_;
  parser_.reset();
  Enter(Phase::kAnswer);
  hub_.stats.Add(&ConnectionStats::active_requests);
  status_ = 0;
  body_bytes_sent_ = 0;
  if (unread_) {
    closing_ = true;
  }
  const std::string route = decision_.route == nullptr ? "-" : decision_.route->path;
  Dispatch(queue);
  co_await Carry(*queue);
  if (broken_ || peer_gone_) {
    queue->Gone();
    if (!broken_) {
      hub_.stats.Add(&ConnectionStats::vanished);
    }
  }
  queue->Detach();
  queue_.reset();
  hub_.stats.Add(&ConnectionStats::active_requests, -1);
  hub_.stats.AddResponse(status_);
  LogRequest(queue->request(), route);
}

// Takes what the answering side gives to the peer, until one of them ends.
asio::awaitable<void> Connection::Carry(ResponseQueue& queue) {
  while (!peer_gone_) {
    ResponseQueue::Output output = queue.Take();
    std::string head;
    if (output.head) {
      head = HeadOf(output, queue.request());
    }
    size_t n_head_bytes = head.size();
    const bool is_idle = head.empty() && output.bytes.empty();
    bool written = true;
    if (output.bytes.size() <= kJoinedBytes) {
      output.bytes.insert(0, head);
    } else if (!head.empty()) {
      written = co_await Write(head, &queue, n_head_bytes);
      n_head_bytes = 0;
    }
    if (written && !output.bytes.empty()) {
      written = co_await Write(output.bytes, &queue, n_head_bytes);
    }
    if (!written) {
      peer_gone_ = true;
      co_return;
    }
    if (output.ending == ResponseQueue::Ending::kBroken) {
      broken_ = true;
      closing_ = true;
    }
    if (output.ending != ResponseQueue::Ending::kOpen) {
      co_return;
    }
    if (is_idle) {
      co_await wake_.Wait();
    }
  }
}

std::string Connection::HeadOf(const ResponseQueue::Output& output, const Request& request) {
  status_ = output.head->status;
  if (hub_.draining || (output.is_stream && is_http_1_0_)) {
    closing_ = true;
  }
  HeadFacts facts = {.request_id = request.id,
                     .is_http_1_0 = is_http_1_0_,
                     .keep_alive = !closing_,
                     .content_length = std::nullopt,
                     .cors = cors_,
                     .unix_seconds = UnixSeconds()};
  if (!output.is_stream) {
    facts.content_length = output.content_length;
  }
  return FormatHead(*output.head, facts);
}

asio::awaitable<bool> Connection::Write(std::string_view bytes, ResponseQueue* queue,
                                        size_t n_head_bytes) {
  writing_ = true;
  window_since_ = Clock::now();
  window_bytes_ = 0;
  while (!bytes.empty()) {
    const size_t n_sent = co_await transport_->WriteSome(bytes);
    if (n_sent == 0) {
      break;
    }
    bytes.remove_prefix(n_sent);
    window_bytes_ += n_sent;
    hub_.stats.Add(&ConnectionStats::bytes_sent, static_cast<int64_t>(n_sent));
    const size_t of_head = std::min(n_sent, n_head_bytes);
    n_head_bytes -= of_head;
    body_bytes_sent_ += n_sent - of_head;
    if (queue != nullptr) {
      queue->Sent(n_sent - of_head);
    }
  }
  writing_ = false;
  co_return bytes.empty();
}

void Connection::LogRequest(const Request& request, std::string_view route) const {
  constexpr std::array<std::string_view, 7> kMethods = {"GET",   "POST", "PUT",    "DELETE",
                                                        "PATCH", "HEAD", "OPTIONS"};
  const bool is_known = std::ranges::find(kMethods, request.method) != kMethods.end();
  hub_.log.Add(
      {.unix_seconds = UnixSeconds(),
       .request_id = request.id,
       .method = is_known ? request.method : "?",
       .route = std::string(route),
       .status = status_,
       .bytes = body_bytes_sent_,
       .milliseconds =
           std::chrono::duration<double, std::milli>(Clock::now() - request_since_).count(),
       .peer = peer_,
       .complete = !broken_ && !peer_gone_});
}

// Closes such that the peer gets what was sent: a socket that is closed with input unread resets
// the connection, and the peer may lose the response.
asio::awaitable<void> Connection::Finish() {
  Enter(Phase::kLinger);
  if (broken_) {
    // Without an end of the chunks or of TLS; without chunks only a reset tells.
    transport_->Close(is_http_1_0_);
    peer_gone_ = true;
    co_return;
  }
  reader_stops_ = true;
  room_.Set();
  while (reader_runs_) {
    transport_->CancelRead();
    co_await wake_.Wait();
  }
  if (!peer_gone_) {
    co_await transport_->EndSending();
    while (unread_ && !peer_gone_) {
      in_.clear();
      const bool more = co_await transport_->Read(in_, kReadBytes);
      if (!more) {
        break;
      }
    }
  }
  transport_->Close(false);
  peer_gone_ = true;
}

}  // namespace plimsoll::server::http
