// One client's connection: its requests one after another, each answered before the next is read.
// For the files of this folder alone: its header is a large one.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "server/http/access_log.h"
#include "server/http/access_rules.h"
#include "server/http/http_error.h"
#include "server/http/limits.h"
#include "server/http/request_parser.h"
#include "server/http/response_queue.h"
#include "server/http/router.h"
#include "server/http/transport.h"

namespace plimsoll::server::http {

// ConnectionStats as it is counted: by the I/O thread, read by any.
class StatsCounter {
 public:
  using Field = uint64_t ConnectionStats::*;
  void Add(Field field, int64_t n = 1);
  void Add(Breach breach);
  void AddResponse(unsigned status);
  [[nodiscard]] ConnectionStats Snapshot() const;

 private:
  mutable std::mutex mutex_;
  ConnectionStats stats_;
};

// What a coroutine waits for. Belongs to one thread.
class Event {
 public:
  explicit Event(boost::asio::io_context& io) : timer_(io) {}
  void Set();
  // Returns once it has been set since the last Wait.
  [[nodiscard]] boost::asio::awaitable<void> Wait();

 private:
  boost::asio::steady_timer timer_;
  bool is_set_ = false;
};

class Connection;

// What all connections of a server share. All but `stats`, `log` and `pool` is of the I/O thread.
struct ConnectionHub {
  const Limits limits;
  const AccessRules rules;
  const ChargeFn charge;         // may be empty, as the next
  const ErrorBodyFn error_body;  // of HttpOptions
  AccessLog& log;
  StatsCounter& stats;
  boost::asio::thread_pool& pool;
  boost::asio::io_context& io;
  std::shared_ptr<const Router> router;
  bool draining = false;
  uint64_t next_id = 0;
  std::unordered_set<Connection*> connections;
  std::function<void(Connection&)> on_closed;  // when a connection is taken out of the set
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  // `peer` is for the log; `charged` what was charged for it, given back with it. Takes its place
  // in the hub's set.
  Connection(ConnectionHub& hub, std::unique_ptr<Transport> transport, Entrance entrance,
             std::string peer, std::string address, int64_t charged);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Start();
  // To be called several times a second: what has taken too long is ended.
  void Tick(Clock::time_point now);
  // No further request is read.
  void BeginDrain();
  // Ends it at once; the peer sees a reset.
  void Cut();
  // Says 503 and closes, in place of Start.
  void TurnAway();

  [[nodiscard]] const std::string& address() const { return address_; }
  // Since when there is no request; nothing when there is one, or the first is still to come.
  [[nodiscard]] std::optional<Clock::time_point> idle_since() const;
  void CloseIdle();

 private:
  enum class Phase { kHandshake, kIdle, kHead, kBody, kAnswer, kLinger };
  enum class Outcome { kRequest, kRefused, kEnd };
  // What becomes of a request: a response that is clear from its head, or a route.
  struct Decision {
    std::optional<Response> response;
    const Route* route = nullptr;
    std::shared_ptr<const Router> router = nullptr;  // whose route it is
  };

  boost::asio::awaitable<void> Serve();
  boost::asio::awaitable<void> ReadLoop();
  boost::asio::awaitable<Outcome> ReadRequest();
  boost::asio::awaitable<void> Answer();
  boost::asio::awaitable<void> Carry(ResponseQueue& queue);
  boost::asio::awaitable<bool> Write(std::string_view bytes, ResponseQueue* queue,
                                     size_t n_head_bytes);
  boost::asio::awaitable<void> Finish();

  void Enter(Phase phase);
  [[nodiscard]] std::optional<Outcome> OnStarted();
  [[nodiscard]] std::optional<Outcome> ChargeRequest(bool is_read);
  void OnHead();
  void Refuse(const HttpError& error);
  [[nodiscard]] Response ErrorFor(const HttpError& error);
  void Decide(Request& request);
  [[nodiscard]] Response NoRoute(const Request& request, const std::string& allowed);
  [[nodiscard]] std::shared_ptr<ResponseQueue> MakeQueue();
  void Dispatch(const std::shared_ptr<ResponseQueue>& queue);
  [[nodiscard]] std::string HeadOf(const ResponseQueue::Output& output, const Request& request);
  void LogRequest(const Request& request, std::string_view route) const;
  void CheckWindow(Clock::time_point now, std::chrono::milliseconds window, Breach breach);

  ConnectionHub& hub_;
  std::unique_ptr<Transport> transport_;
  const Entrance entrance_;
  const std::string peer_;
  const std::string address_;
  int64_t charged_;

  Event wake_;      // of the coroutine that serves
  Event room_;      // of the one that reads
  std::string in_;  // read, and not used yet
  bool peer_gone_ = false;
  bool reader_runs_ = false;
  bool reader_stops_ = false;

  Phase phase_ = Phase::kHandshake;
  Clock::time_point phase_since_;
  // Of a body or a response: bytes that have passed in the present window.
  Clock::time_point window_since_;
  uint64_t window_bytes_ = 0;
  bool writing_ = false;
  bool too_slow_ = false;  // the body
  bool closes_idle_ = false;
  bool closing_ = false;  // no further request
  bool broken_ = false;   // the response was not whole
  bool unread_ = false;   // the request was not read to its end

  uint32_t n_requests_ = 0;
  std::optional<RequestParser> parser_;
  uint64_t request_charge_ = 0;
  uint64_t head_bytes_ = 0;  // of the request that is being read
  Decision decision_;
  std::shared_ptr<ResponseQueue> queue_;
  std::vector<std::pair<std::string, std::string>> cors_;
  Clock::time_point request_since_;
  bool is_http_1_0_ = false;
  unsigned status_ = 0;
  uint64_t body_bytes_sent_ = 0;
};

}  // namespace plimsoll::server::http
