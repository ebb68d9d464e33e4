#include "engine/service.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>

#include "engine/batch/batcher.h"

namespace plimsoll::engine {
namespace {

using Clock = std::chrono::steady_clock;

// How often a reader that was behind is asked whether it still is.
constexpr auto kPausedPoll = std::chrono::milliseconds(5);

constexpr double kMaxRetrySeconds = 60;

class EngineService final : public Service {
 public:
  EngineService(std::unique_ptr<Engine> engine, std::unique_ptr<batch::Batcher> batcher,
                const ServiceOptions& options)
      : engine_(std::move(engine)),
        batcher_(std::move(batcher)),
        options_(options),
        thread_([this] { Run(); }) {}
  EngineService(const EngineService&) = delete;
  EngineService& operator=(const EngineService&) = delete;
  // What the last holder calls: to wait for the thread, or to leave the rest to it if that is where
  // it is called.
  static void End(EngineService* service);

  [[nodiscard]] const ModelSummary& summary() const override { return engine_->summary(); }
  [[nodiscard]] const text::Tokenizer& tokenizer() const override { return engine_->tokenizer(); }
  [[nodiscard]] Result<const text::ChatTemplate*> chat_template() const override {
    return engine_->chat_template();
  }

  [[nodiscard]] std::optional<kv::policy::PolicyProblem> KvProblemOf(
      const GenerationRequest& request) const override {
    const auto eviction = batcher_->EvictionOf(request);
    return eviction ? std::nullopt : std::optional(eviction.error());
  }
  [[nodiscard]] Result<tl::expected<RequestId, Overload>> Submit(
      GenerationRequest request, std::shared_ptr<GenerationSink> sink) override;
  void Cancel(RequestId id) override;
  [[nodiscard]] tl::expected<RequestId, Overload> Embed(Texts texts, EmbedFn on_done) override;

  [[nodiscard]] ServiceSnapshot Snapshot() const override;
  [[nodiscard]] memory::LedgerSnapshot ledger() const override { return engine_->ledger(); }
  [[nodiscard]] std::optional<PagingSnapshot> paging() const override {
    const std::lock_guard lock(mutex_);
    return paging_;
  }
  [[nodiscard]] std::optional<StreamingSnapshot> streaming() const override {
    const std::lock_guard lock(mutex_);
    return streaming_;
  }
  [[nodiscard]] std::optional<std::string> read_trouble() const override {
    return engine_->read_trouble();
  }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override;
  [[nodiscard]] uint64_t LineFor(const std::optional<SizeSpec>& memory) const override {
    return engine_->LineFor(memory);
  }
  [[nodiscard]] uint64_t LeastLine() const override { return least_line_; }
  void Drain(Clock::time_point deadline) override;

 private:
  struct Arrival {
    RequestId id = 0;
    GenerationRequest request;
    std::shared_ptr<GenerationSink> sink;
    Clock::time_point arrived;
  };
  struct Embedding {
    RequestId id = 0;
    Texts texts;
    EmbedFn on_done;
    std::vector<std::vector<float>> done;
  };
  // What the thread does between two steps: a line to be drawn.
  using Task = std::function<void()>;

  ~EngineService() override = default;

  void Run();
  void EndAll();
  // What came in since the last step; false when the service is over.
  [[nodiscard]] bool TakeIn(batch::Batcher::Outcome last);
  void Publish();
  void EmbedNext();
  void CancelEmbedding(RequestId id);
  // With the lock held.
  [[nodiscard]] std::optional<Overload> OverloadBy(size_t n_tokens) const;

  std::unique_ptr<Engine> engine_;
  std::unique_ptr<batch::Batcher> batcher_;  // of the thread alone, but for EvictionOf
  const ServiceOptions options_;
  uint64_t least_line_ = engine_->LeastLine();

  mutable std::mutex mutex_;
  std::condition_variable wake_;      // of the thread
  std::condition_variable finished_;  // of those that wait for it
  std::deque<Arrival> arrivals_;
  std::vector<RequestId> cancelled_;
  std::deque<Task> tasks_;
  std::deque<Embedding> new_embeddings_;
  std::deque<Embedding> embeddings_;  // of the thread alone
  uint32_t n_embeddings_ = 0;
  RequestId last_id_ = 0;
  uint64_t n_arriving_tokens_ = 0;
  uint64_t n_rejected_ = 0;
  double seconds_per_start_ = 0;
  ServiceSnapshot published_;
  uint64_t n_paused_changes_ = 0;  // that are published
  std::optional<PagingSnapshot> paging_;
  std::optional<StreamingSnapshot> streaming_;
  Clock::time_point last_step_ = Clock::now();
  bool busy_ = false;
  bool stopping_ = false;
  bool cancel_all_ = false;
  bool over_ = false;
  bool orphaned_ = false;  // of the thread alone

  std::thread thread_;  // last: it uses all of the above
};

Result<tl::expected<RequestId, Overload>> EngineService::Submit(
    GenerationRequest request, std::shared_ptr<GenerationSink> sink) {
  if (auto valid = batch::CheckRequest(request, summary().n_ctx, tokenizer().size()); !valid) {
    return Forward(valid);
  }
  if (const auto problem = KvProblemOf(request)) {
    return tl::unexpected(problem->ForCommandLine());
  }
  const std::lock_guard lock(mutex_);
  if (const auto overload = OverloadBy(request.prompt.size())) {
    ++n_rejected_;
    return tl::make_unexpected(*overload);
  }
  const RequestId id = ++last_id_;
  n_arriving_tokens_ += request.prompt.size();
  arrivals_.push_back({id, std::move(request), std::move(sink), Clock::now()});
  wake_.notify_one();
  return id;
}

std::optional<Overload> EngineService::OverloadBy(size_t n_tokens) const {
  if (stopping_) {
    return Overload{Overload::Limit::kStopping, kMaxRetrySeconds};
  }
  const uint64_t n_waiting = published_.n_waiting + arrivals_.size();
  const uint64_t n_waiting_tokens = published_.n_waiting_tokens + n_arriving_tokens_;
  const double seconds = static_cast<double>(n_waiting) * seconds_per_start_;
  const double retry = std::clamp(seconds_per_start_, 1.0, kMaxRetrySeconds);
  if (n_waiting >= options_.max_queue) {
    return Overload{Overload::Limit::kRequests, retry};
  }
  if (n_waiting > 0 && options_.max_queue_tokens != 0 &&
      n_waiting_tokens + n_tokens > options_.max_queue_tokens) {
    return Overload{Overload::Limit::kTokens, retry};
  }
  if (seconds > options_.max_queue_seconds) {
    return Overload{Overload::Limit::kSeconds,
                    std::clamp(seconds - options_.max_queue_seconds, retry, kMaxRetrySeconds)};
  }
  return std::nullopt;
}

void EngineService::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  cancelled_.push_back(id);
  wake_.notify_one();
}

tl::expected<RequestId, Overload> EngineService::Embed(Texts texts, EmbedFn on_done) {
  const std::lock_guard lock(mutex_);
  if (stopping_) {
    return tl::make_unexpected(Overload{Overload::Limit::kStopping, kMaxRetrySeconds});
  }
  if (n_embeddings_ >= options_.max_queue) {
    ++n_rejected_;
    return tl::make_unexpected(Overload{Overload::Limit::kRequests, 1});
  }
  ++n_embeddings_;
  const RequestId id = ++last_id_;
  new_embeddings_.push_back({id, std::move(texts), std::move(on_done), {}});
  wake_.notify_one();
  return id;
}

// One text, so that those who wait for their next token do not wait for a whole book.
void EngineService::EmbedNext() {
  if (embeddings_.empty()) {
    return;
  }
  Embedding& first = embeddings_.front();
  std::optional<Error> error;
  if (first.done.size() < first.texts.size()) {
    auto embedded = batcher_->Embed(first.texts[first.done.size()]);
    if (embedded) {
      first.done.push_back(*std::move(embedded));
    } else {
      error = std::move(embedded).error();
    }
  }
  if (!error && first.done.size() < first.texts.size()) {
    return;
  }
  const Embedding over = std::move(first);
  embeddings_.pop_front();
  {
    const std::lock_guard lock(mutex_);
    --n_embeddings_;
  }
  if (error) {
    over.on_done(tl::unexpected<Error>(*error));
  } else {
    over.on_done(over.done);
  }
}

void EngineService::CancelEmbedding(RequestId id) {
  const auto it = std::ranges::find(embeddings_, id, &Embedding::id);
  if (it == embeddings_.end()) {
    return;
  }
  const Embedding over = std::move(*it);
  embeddings_.erase(it);
  {
    const std::lock_guard lock(mutex_);
    --n_embeddings_;
  }
  over.on_done(Fail(ErrorKind::kInterrupted, "the request was cancelled"));
}

Result<> EngineService::SetLine(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  std::optional<Result<>> done;
  tasks_.push_back([this, bytes, &done] {
    Result<> moved = engine_->SetLine(bytes);
    const std::lock_guard guard(mutex_);
    done = std::move(moved);
  });
  wake_.notify_one();
  finished_.wait(lock, [&] { return done.has_value(); });
  return *std::move(done);
}

ServiceSnapshot EngineService::Snapshot() const {
  const std::lock_guard lock(mutex_);
  ServiceSnapshot snapshot = published_;
  snapshot.n_waiting += static_cast<uint32_t>(arrivals_.size());
  snapshot.n_waiting_tokens += n_arriving_tokens_;
  snapshot.n_accepted = last_id_;
  snapshot.n_rejected = n_rejected_;
  snapshot.seconds_since_step =
      busy_ ? std::chrono::duration<double>(Clock::now() - last_step_).count() : 0;
  return snapshot;
}

void EngineService::Drain(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  wake_.notify_one();
  const auto is_empty = [this] {
    return !busy_ && arrivals_.empty() && tasks_.empty() && n_embeddings_ == 0;
  };
  if (!finished_.wait_until(lock, deadline, is_empty)) {
    cancel_all_ = true;
    wake_.notify_one();
    finished_.wait(lock, is_empty);
  }
}

void EngineService::End(EngineService* service) {
  {
    const std::lock_guard lock(service->mutex_);
    service->stopping_ = true;
    service->over_ = true;
  }
  service->wake_.notify_one();
  if (service->thread_.get_id() == std::this_thread::get_id()) {
    service->orphaned_ = true;
    service->thread_.detach();
  } else {
    service->thread_.join();
    delete service;
  }
}

void EngineService::Run() {
  auto outcome = batch::Batcher::Outcome::kIdle;
  Publish();
  while (TakeIn(outcome)) {
    outcome = batcher_->Step(Clock::now());
    EmbedNext();
    Publish();
  }
  EndAll();
  if (orphaned_) {
    delete this;
  }
}

// Nobody is left without an end, not even who came in the last moment.
void EngineService::EndAll() {
  batcher_->CancelAll();
  const auto arrivals = std::exchange(arrivals_, {});
  for (const Arrival& arrival : arrivals) {
    arrival.sink->OnEnd({.reason = FinishReason::kInterrupted});
  }
  for (const Task& task : std::exchange(tasks_, {})) {
    task();
  }
  std::ranges::move(std::exchange(new_embeddings_, {}), std::back_inserter(embeddings_));
  while (!embeddings_.empty()) {
    CancelEmbedding(embeddings_.front().id);
  }
}

bool EngineService::TakeIn(batch::Batcher::Outcome last) {
  std::unique_lock lock(mutex_);
  busy_ = last != batch::Batcher::Outcome::kIdle || !embeddings_.empty();
  const auto has_work = [this] {
    return over_ || cancel_all_ || !arrivals_.empty() || !cancelled_.empty() || !tasks_.empty() ||
           !new_embeddings_.empty();
  };
  if (!busy_) {
    finished_.notify_all();
    wake_.wait(lock, has_work);
  } else if (last == batch::Batcher::Outcome::kPaused && embeddings_.empty()) {
    wake_.wait_for(lock, kPausedPoll, has_work);
  }
  if (over_) {
    return false;
  }
  busy_ = true;
  last_step_ = Clock::now();
  const auto arrivals = std::exchange(arrivals_, {});
  const auto cancelled = std::exchange(cancelled_, {});
  auto tasks = std::exchange(tasks_, {});
  std::ranges::move(std::exchange(new_embeddings_, {}), std::back_inserter(embeddings_));
  const bool cancel_all = std::exchange(cancel_all_, false);
  // Until they are published, those that came count as waiting.
  published_.n_waiting += static_cast<uint32_t>(arrivals.size());
  published_.n_waiting_tokens += std::exchange(n_arriving_tokens_, 0);
  lock.unlock();
  for (const Arrival& arrival : arrivals) {
    batcher_->Add(arrival.id, arrival.request, arrival.sink, arrival.arrived);
  }
  for (const RequestId id : cancelled) {
    batcher_->Cancel(id);
    CancelEmbedding(id);
  }
  if (cancel_all) {
    batcher_->CancelAll();
    while (!embeddings_.empty()) {
      CancelEmbedding(embeddings_.front().id);
    }
  }
  for (const Task& task : tasks) {
    task();
  }
  if (!tasks.empty()) {
    finished_.notify_all();
  }
  return true;
}

void EngineService::Publish() {
  ServiceSnapshot now;
  const auto slot_of = [](const batch::SequencePtr& sequence) {
    return ServiceSnapshot::Slot{
        .id = sequence->id,
        .n_prompt = sequence->n_prompt(),
        .n_prompt_done = std::min(sequence->n_computed, sequence->n_prompt()),
        .n_generated = sequence->answer->n_generated()};
  };
  std::ranges::transform(batcher_->running(), std::back_inserter(now.running), slot_of);
  const uint64_t n_before = std::exchange(n_paused_changes_, batcher_->n_paused_changes());
  const bool paused_changed = n_before != n_paused_changes_;
  if (paused_changed) {
    std::ranges::transform(batcher_->paused(), std::back_inserter(now.paused), slot_of);
  }
  now.n_waiting = static_cast<uint32_t>(batcher_->waiting().size());
  for (const batch::SequencePtr& sequence : batcher_->waiting()) {
    now.n_waiting_tokens += sequence->n_prompt();
  }
  const batch::BatchTotals& totals = batcher_->totals();
  now.n_steps = totals.n_steps;
  now.n_preempted = totals.n_preempted;
  now.n_finished = totals.n_finished;
  now.n_failed = totals.n_failed;
  now.prompt_tokens = totals.prompt_tokens;
  now.prompt_tokens_reused = totals.prompt_tokens_reused;
  now.prefix_lookups = totals.prefix_lookups;
  now.prefix_hits = totals.prefix_hits;
  const prefix::PrefixTreeStats prefixes = batcher_->prefix_stats();
  now.prefix_evictions = prefixes.n_evicted;
  now.prefix_bytes_evicted = prefixes.bytes_evicted;
  now.n_started_under = totals.n_started_under;
  now.generated_tokens = totals.generated_tokens;
  now.prefill_seconds = totals.prefill_seconds;
  now.decode_seconds = totals.decode_seconds;
  now.kv_blocks_total = batcher_->n_blocks();
  now.kv_blocks_used = now.kv_blocks_total - batcher_->n_free_blocks();
  if (const auto disk = batcher_->store_stats()) {
    now.kv_disk = {.n_blocks = disk->n_blocks,
                   .bytes = disk->bytes,
                   .max_bytes = disk->max_bytes,
                   .bytes_saved = disk->saved_bytes,
                   .bytes_restored = disk->restored_bytes,
                   .tokens_restored = totals.restored_tokens,
                   .blocks_evicted = disk->evicted_blocks,
                   .blocks_failed = disk->failed_blocks};
  }
  const auto paging = engine_->paging();
  const auto streaming = engine_->streaming();
  const std::lock_guard lock(mutex_);
  if (!paused_changed) {
    now.paused = std::move(published_.paused);
  }
  published_ = std::move(now);
  paging_ = paging;
  streaming_ = streaming;
  seconds_per_start_ = batcher_->seconds_per_start();
}

}  // namespace

Result<std::shared_ptr<Service>> StartService(std::unique_ptr<Engine> engine,
                                              const ServiceOptions& options) {
  auto batcher =
      engine->NewBatcher({.n_parallel = options.n_parallel,
                          .max_running = options.max_running,
                          .max_seconds = static_cast<double>(options.max_seconds),
                          .max_paused_seconds = static_cast<double>(options.max_paused_seconds),
                          .order = options.order,
                          .max_order_seconds = static_cast<double>(options.max_order_seconds),
                          .max_still_seconds = static_cast<double>(options.max_still_seconds),
                          .prefix_cache = options.prefix_cache,
                          .evict_by_recency = options.evict_by_recency,
                          .prefix_log = options.prefix_log});
  if (!batcher) {
    return Forward(batcher);
  }
  return std::shared_ptr<Service>(
      new EngineService(std::move(engine), std::move(*batcher), options), EngineService::End);
}

}  // namespace plimsoll::engine
