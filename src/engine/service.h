// An engine behind a queue, for programs with many clients: requests go in from any thread, one
// thread of its own computes them together, step by step.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "engine/generation.h"

namespace plimsoll::engine {

struct ServiceOptions {
  uint32_t n_parallel = 1;  // contexts for which there is always room
  // Requests that wait: by their number, by the tokens of their prompts together (0: any), and by
  // the seconds until the last of them starts, as far as that can be told from the past.
  uint32_t max_queue = 256;
  uint64_t max_queue_tokens = 0;
  uint32_t max_queue_seconds = 300;
  uint32_t max_running = 256;        // sequences of one step
  uint32_t max_seconds = 3600;       // of one request, from its arrival to its end
  uint32_t max_paused_seconds = 60;  // that a request waits for its reader (HasRoom)
  std::string order = "fcfs";        // of those that wait (engine/order/order_policy.h)
  uint32_t max_order_seconds = 300;  // after which a request goes first, whatever its order
  uint32_t max_still_seconds = 30;   // that an answer stands still for others ("expert-union")
  bool prefix_cache = true;          // keep keys and values for prompts that begin alike
  bool evict_by_recency = false;     // of these what was used longest ago goes, not the cheapest
  std::filesystem::path prefix_log;  // where what is evicted is written down; "": nowhere
};

using RequestId = uint64_t;

// Why a request was not taken. Nothing of it is kept.
struct Overload {
  enum class Limit { kRequests, kTokens, kSeconds, kStopping };
  Limit limit = Limit::kRequests;
  double retry_seconds = 1;  // when it may be worth another try
};

// Blocks of keys and values on a disk: now, and since the start.
struct KvDiskSnapshot {
  uint64_t n_blocks = 0;
  uint64_t bytes = 0;
  uint64_t max_bytes = 0;
  uint64_t bytes_saved = 0;
  uint64_t bytes_restored = 0;
  uint64_t tokens_restored = 0;
  uint64_t blocks_evicted = 0;  // for others that were used later
  uint64_t blocks_failed = 0;   // that could not be written, or were not as they had been written
};

// Running totals and the present state; what /metrics and /slots show.
struct ServiceSnapshot {
  struct Slot {
    RequestId id = 0;
    uint32_t n_prompt = 0;
    uint32_t n_prompt_done = 0;
    uint32_t n_generated = 0;
  };
  std::vector<Slot> running;
  std::vector<Slot> paused;  // they wait for their readers
  uint32_t n_waiting = 0;
  uint64_t n_waiting_tokens = 0;
  uint64_t n_steps = 0;
  uint64_t n_accepted = 0;
  uint64_t n_rejected = 0;
  uint64_t n_preempted = 0;  // sequences that gave their memory up and were computed anew
  std::array<uint64_t, kNFinishReasons> n_finished = {};  // by FinishReason
  uint64_t n_failed = 0;
  uint64_t prompt_tokens = 0;
  uint64_t prompt_tokens_reused = 0;
  uint64_t prefix_lookups = 0;        // requests that began to run, and of these
  uint64_t prefix_hits = 0;           // those a part of whose prompt was there
  uint64_t prefix_evictions = 0;      // blocks of keys and values, and
  uint64_t prefix_bytes_evicted = 0;  // their bytes
  // Requests that began to run, by kv::policy::PolicyKind.
  std::array<uint64_t, kv::policy::kNPolicyKinds> n_started_under = {};
  uint64_t generated_tokens = 0;
  double prefill_seconds = 0;  // of the engine's thread, with prompts in the step
  double decode_seconds = 0;   // without
  uint64_t kv_blocks_used = 0;
  uint64_t kv_blocks_total = 0;
  std::optional<KvDiskSnapshot> kv_disk;  // nothing where none go there
  double seconds_since_step = 0;          // 0 when there is nothing to do
};

// Thread-safe.
class Service {
 public:
  virtual ~Service() = default;

  // The engine as it is made known: its tokenizer and template may be used from any thread.
  [[nodiscard]] virtual const ModelSummary& summary() const = 0;
  [[nodiscard]] virtual const text::Tokenizer& tokenizer() const = 0;
  [[nodiscard]] virtual Result<const text::ChatTemplate*> chat_template() const = 0;

  // What is wrong with how a request's keys and values would be kept, if anything is: Submit will
  // say kUsage.
  [[nodiscard]] virtual std::optional<kv::policy::PolicyProblem> KvProblemOf(
      const GenerationRequest& /*request*/) const {
    return std::nullopt;
  }
  // kUsage for a request that can never run, with the reason: an empty prompt, one that the context
  // cannot hold, sampling parameters out of range.
  [[nodiscard]] virtual Result<tl::expected<RequestId, Overload>> Submit(
      GenerationRequest request, std::shared_ptr<GenerationSink> sink) = 0;
  // The request ends with kInterrupted before the next step, its memory is free then. No effect on
  // one that has ended.
  virtual void Cancel(RequestId id) = 0;

  // Of each text the mean of the last layer's output over its tokens, after the final norm, of
  // length 1 (hidden_dim floats); computed between steps, a text at a time. `on_done` is called
  // once, by the engine's thread, with kInterrupted after Cancel. The limit on requests that wait
  // holds here too.
  using Texts = std::vector<std::vector<TokenId>>;
  using EmbedFn = std::function<void(Result<std::vector<std::vector<float>>>)>;
  [[nodiscard]] virtual tl::expected<RequestId, Overload> Embed(Texts texts, EmbedFn on_done) = 0;

  [[nodiscard]] virtual ServiceSnapshot Snapshot() const = 0;
  [[nodiscard]] virtual memory::LedgerSnapshot ledger() const = 0;
  [[nodiscard]] virtual std::optional<PagingSnapshot> paging() const = 0;
  [[nodiscard]] virtual std::optional<StreamingSnapshot> streaming() const = 0;
  // As Engine::read_trouble.
  [[nodiscard]] virtual std::optional<std::string> read_trouble() const { return std::nullopt; }
  // The least that a token of one sequence takes as things stand (engine/decode_bound.h); nothing
  // where nobody has measured the machine.
  [[nodiscard]] virtual std::optional<DecodeCost> bound() const { return std::nullopt; }
  // Draws the line anew between two steps; waits for it. As Engine::SetLine, as the next two.
  [[nodiscard]] virtual Result<> SetLine(uint64_t bytes) = 0;
  [[nodiscard]] virtual uint64_t LineFor(const std::optional<SizeSpec>& memory) const = 0;
  [[nodiscard]] virtual uint64_t LeastLine() const = 0;

  // Takes no more requests, and ends those there are when they have not ended by themselves until
  // `deadline`; returns when all have.
  virtual void Drain(std::chrono::steady_clock::time_point deadline) = 0;
};

// Takes the engine over, which was made for options.n_parallel contexts. Its thread starts at once.
// kDoesNotFit when the engine has no room for its contexts. The last holder may be a sink: then the
// service ends behind its step.
[[nodiscard]] Result<std::shared_ptr<Service>> StartService(std::unique_ptr<Engine> engine,
                                                            const ServiceOptions& options);

}  // namespace plimsoll::engine
