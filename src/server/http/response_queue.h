// What lies between whoever answers a request and the connection that carries the answer away.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/http/exchange.h"
#include "server/http/request_parser.h"

namespace plimsoll::server::http {

// Thread-safe; never blocks. Shared by an Exchange (the answering side) and its connection.
class ResponseQueue {
 public:
  using Clock = std::chrono::steady_clock;

  struct Setup {
    Request request;
    uint64_t charged_bytes = 0;  // for the request; given back with the queue
    bool chunked = true;         // how a stream is framed; else its end is the connection's end
    bool head_only = false;      // the answer to HEAD: bodies are counted and not kept
    std::chrono::milliseconds ping_interval = std::chrono::seconds(10);
    std::chrono::milliseconds pad_after = std::chrono::seconds(30);
    ChargeFn charge;  // may be empty
    // Called on any thread when there is something for the connection to do.
    std::function<void()> wake;
  };

  explicit ResponseQueue(Setup setup) : s_(std::move(setup)) {}
  ~ResponseQueue();
  ResponseQueue(const ResponseQueue&) = delete;
  ResponseQueue& operator=(const ResponseQueue&) = delete;

  [[nodiscard]] const Request& request() const { return s_.request; }

  // The answering side; the contract is that of Exchange.
  void AnswerLater(Response head, std::string keep_alive);
  [[nodiscard]] bool has_begun() const;
  void Respond(Response response);
  void Begin(Response head, std::string keep_alive);
  [[nodiscard]] bool Send(std::string_view part);
  void End();
  void Abort();
  [[nodiscard]] uint64_t unsent_bytes() const;
  void OnGone(std::function<void()> on_gone);
  // The last holder of the Exchange is gone.
  void Abandon();

  // The connection's side.
  enum class Ending { kOpen, kWhole, kBroken };
  struct Output {
    std::optional<Response> head;   // with the first; its body is in `bytes`
    bool is_stream = false;         // valid with `head`
    uint64_t content_length = 0;    // of a response that is no stream
    std::string bytes;              // framed
    Ending ending = Ending::kOpen;  // behind these bytes
  };
  // The next of what has come; there is more as long as it has bytes or a head.
  [[nodiscard]] Output Take();
  // So many bytes of what was taken have left.
  void Sent(uint64_t bytes);
  // Puts the keep-alive text in when nothing else was for the interval; begins the response when
  // it has been waited for long enough.
  void Ping(Clock::time_point now);
  // The client is gone, or was cut off: nothing is kept any more, and the answering side is told.
  void Gone();
  // The response has left. From here on, as after Gone, `wake` is not called.
  void Detach();
  [[nodiscard]] bool gone() const;

 private:
  // With the lock held.
  [[nodiscard]] bool Queue(std::string_view bytes, bool framed);
  void Append(std::string_view bytes);
  void BeginStream(Response head, std::string keep_alive);
  void EndStream(Ending ending);
  void RespondLate(const Response& response);
  void Wake() const;

  Setup s_;
  mutable std::mutex mutex_;
  enum class Phase { kWaiting, kStreaming, kEnded };
  Phase phase_ = Phase::kWaiting;
  Ending ending_ = Ending::kOpen;
  std::optional<Response> head_;
  bool is_stream_ = false;
  std::string keep_alive_;
  // What AnswerLater was given, until the response begins; then its status.
  std::optional<std::pair<Response, std::string>> later_;
  std::optional<unsigned> early_status_;
  std::vector<std::string> pending_;  // in pieces
  uint64_t content_length_ = 0;
  uint64_t unsent_bytes_ = 0;  // pending, and taken but not sent
  Clock::time_point last_queued_;
  const Clock::time_point asked_ = Clock::now();
  bool gone_ = false;
  bool detached_ = false;
  std::function<void()> on_gone_;
};

// The Exchange that handlers hold.
[[nodiscard]] std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<ResponseQueue> queue);

}  // namespace plimsoll::server::http
