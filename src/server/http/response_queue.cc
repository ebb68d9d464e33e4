#include "server/http/response_queue.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/http/http_error.h"

namespace plimsoll::server::http {
namespace {

// What waits for a slow reader is in pieces of one size, each of them filled, so that a thousand
// readers fall behind without the holes that strings leave as they grow.
constexpr size_t kPieceBytes = 4000;

constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace

ResponseQueue::~ResponseQueue() {
  if (s_.charge && s_.charged_bytes + unsent_bytes_ > 0) {
    (void)s_.charge(-static_cast<int64_t>(s_.charged_bytes + unsent_bytes_));
  }
}

void ResponseQueue::Wake() const {
  if (s_.wake) {
    s_.wake();
  }
}

bool ResponseQueue::Queue(std::string_view bytes, bool framed) {
  if (gone_) {
    return false;
  }
  if (bytes.empty() || s_.head_only) {
    return true;  // an empty chunk would be the end
  }
  const std::string frame = framed ? fmt::format("{:x}\r\n", bytes.size()) : std::string();
  const size_t n_bytes = frame.size() + bytes.size() + (framed ? 2 : 0);
  if (s_.charge && !s_.charge(static_cast<int64_t>(n_bytes))) {
    return false;
  }
  Append(frame);
  Append(bytes);
  Append(framed ? "\r\n" : "");
  unsent_bytes_ += n_bytes;
  last_queued_ = Clock::now();
  return true;
}

void ResponseQueue::Append(std::string_view bytes) {
  if (!pending_.empty()) {
    std::string& last = pending_.back();
    const size_t n_fit = std::min(bytes.size(), last.capacity() - last.size());
    last.append(bytes.substr(0, n_fit));
    bytes.remove_prefix(n_fit);
  }
  if (!bytes.empty()) {
    // A body comes all at once.
    std::string& piece = pending_.emplace_back();
    piece.reserve(is_stream_ ? std::max(bytes.size(), kPieceBytes) : bytes.size());
    piece.append(bytes);
  }
}

void ResponseQueue::AnswerLater(Response head, std::string keep_alive) {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kWaiting) {
    later_.emplace(std::move(head), std::move(keep_alive));
  }
}

bool ResponseQueue::has_begun() const {
  const std::scoped_lock lock(mutex_);
  return phase_ != Phase::kWaiting;
}

void ResponseQueue::RespondLate(const Response& response) {
  const bool queued = Queue(response.body, s_.chunked);
  EndStream(queued && response.status == *early_status_ ? Ending::kWhole : Ending::kBroken);
}

void ResponseQueue::Respond(Response response) {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kStreaming && early_status_ && !gone_) {
    return RespondLate(response);
  }
  if (phase_ != Phase::kWaiting || gone_) {
    return;
  }
  content_length_ = response.body.size();
  if (!Queue(response.body, false)) {
    response = ErrorResponse({.status = 503,
                              .code = "out_of_memory",
                              .message = "there is no memory for this response now"});
    content_length_ = response.body.size();
    pending_.clear();
    if (!s_.head_only) {
      pending_.push_back(response.body);
    }
    unsent_bytes_ = 0;  // it was not charged
  }
  response.body = {};
  head_ = std::move(response);
  phase_ = Phase::kEnded;
  ending_ = Ending::kWhole;
  Wake();
}

void ResponseQueue::Begin(Response head, std::string keep_alive) {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kStreaming && early_status_ && !gone_) {
    early_status_.reset();
    (void)Queue(head.body, s_.chunked);
    Wake();
  } else if (phase_ == Phase::kWaiting && !gone_) {
    BeginStream(std::move(head), std::move(keep_alive));
  }
}

void ResponseQueue::BeginStream(Response head, std::string keep_alive) {
  const std::string body = std::exchange(head.body, {});
  head_ = std::move(head);
  is_stream_ = true;
  keep_alive_ = std::move(keep_alive);
  phase_ = Phase::kStreaming;
  (void)Queue(keep_alive_, s_.chunked);
  (void)Queue(body, s_.chunked);
  Wake();
}

bool ResponseQueue::Send(std::string_view part) {
  const std::scoped_lock lock(mutex_);
  if (phase_ != Phase::kStreaming || gone_) {
    return false;
  }
  const bool was_empty = pending_.empty();
  if (!Queue(part, s_.chunked)) {
    phase_ = Phase::kEnded;
    ending_ = Ending::kBroken;
    Wake();
    return false;
  }
  if (was_empty) {  // else the connection has been woken, and has not come yet
    Wake();
  }
  return true;
}

void ResponseQueue::End() {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kStreaming && !gone_) {
    EndStream(Ending::kWhole);
  }
}

void ResponseQueue::EndStream(Ending ending) {
  if (ending == Ending::kWhole && s_.chunked && !s_.head_only) {
    Append(kLastChunk);
  }
  phase_ = Phase::kEnded;
  ending_ = ending;
  Wake();
}

void ResponseQueue::Abort() {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kEnded || gone_) {
    return;
  }
  phase_ = Phase::kEnded;
  ending_ = Ending::kBroken;
  Wake();
}

void ResponseQueue::Abandon() {
  {
    const std::scoped_lock lock(mutex_);
    if (phase_ == Phase::kEnded) {
      return;
    }
  }
  Respond(ErrorResponse({.status = 500,
                         .code = "internal_error",
                         .message = "the server gave no answer to this request"}));
  Abort();
}

uint64_t ResponseQueue::unsent_bytes() const {
  const std::scoped_lock lock(mutex_);
  return unsent_bytes_;
}

void ResponseQueue::OnGone(std::function<void()> on_gone) {
  {
    const std::scoped_lock lock(mutex_);
    if (!gone_) {
      // Kept no longer than it may be needed: it may hold the Exchange itself.
      on_gone_ = detached_ ? nullptr : std::move(on_gone);
      return;
    }
  }
  on_gone();
}

ResponseQueue::Output ResponseQueue::Take() {
  const std::scoped_lock lock(mutex_);
  Output output;
  output.head = std::exchange(head_, std::nullopt);
  output.is_stream = is_stream_;
  output.content_length = content_length_;
  if (!pending_.empty()) {
    output.bytes = std::move(pending_.front());
    pending_.erase(pending_.begin());
  }
  output.ending = pending_.empty() ? ending_ : Ending::kOpen;
  return output;
}

void ResponseQueue::Sent(uint64_t bytes) {
  const std::scoped_lock lock(mutex_);
  const uint64_t counted = std::min(bytes, unsent_bytes_);  // heads and ends are not
  unsent_bytes_ -= counted;
  if (s_.charge && counted > 0) {
    (void)s_.charge(-static_cast<int64_t>(counted));
  }
}

void ResponseQueue::Ping(Clock::time_point now) {
  const std::scoped_lock lock(mutex_);
  if (phase_ == Phase::kWaiting && later_ && now - asked_ >= s_.pad_after) {
    early_status_ = later_->first.status;
    return BeginStream(std::move(later_->first), std::move(later_->second));
  }
  if (phase_ != Phase::kStreaming || keep_alive_.empty() || unsent_bytes_ > 0 ||
      now - last_queued_ < s_.ping_interval) {
    return;
  }
  (void)Queue(keep_alive_, s_.chunked);
  Wake();
}

void ResponseQueue::Gone() {
  std::function<void()> on_gone;
  bool told = false;
  {
    const std::scoped_lock lock(mutex_);
    s_.wake = nullptr;
    told = phase_ != Phase::kEnded && !gone_;
    gone_ = true;
    detached_ = true;
    pending_.clear();
    head_ = std::nullopt;
    on_gone = std::exchange(on_gone_, nullptr);
  }
  if (on_gone && told) {
    on_gone();
  }
}

void ResponseQueue::Detach() {
  std::function<void()> forgotten;
  const std::scoped_lock lock(mutex_);
  s_.wake = nullptr;
  detached_ = true;
  forgotten = std::exchange(on_gone_, nullptr);
}

bool ResponseQueue::gone() const {
  const std::scoped_lock lock(mutex_);
  return gone_;
}

namespace {

class QueueExchange final : public Exchange {
 public:
  explicit QueueExchange(std::shared_ptr<ResponseQueue> queue) : queue_(std::move(queue)) {}
  ~QueueExchange() override { queue_->Abandon(); }

  [[nodiscard]] const Request& request() const override { return queue_->request(); }
  void AnswerLater(const Response& head, const std::string& keep_alive) override {
    queue_->AnswerLater(head, keep_alive);
  }
  [[nodiscard]] bool has_begun() const override { return queue_->has_begun(); }
  void Respond(Response response) override { queue_->Respond(std::move(response)); }
  void Begin(Response head, std::string keep_alive) override {
    queue_->Begin(std::move(head), std::move(keep_alive));
  }
  bool Send(std::string part) override { return queue_->Send(part); }
  void End() override { queue_->End(); }
  void Abort() override { queue_->Abort(); }
  [[nodiscard]] uint64_t unsent_bytes() const override { return queue_->unsent_bytes(); }
  void OnGone(std::function<void()> on_gone) override { queue_->OnGone(std::move(on_gone)); }

 private:
  std::shared_ptr<ResponseQueue> queue_;
};

}  // namespace

std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<ResponseQueue> queue) {
  return std::make_shared<QueueExchange>(std::move(queue));
}

}  // namespace plimsoll::server::http
