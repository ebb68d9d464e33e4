// Many sequences through one model: continuous batching with chunked prefill.
//
// A step computes the next token of every sequence that is answering and a part of the prompts that
// are not done, in one forward pass. It is a transaction: tokens are planned, room for their keys
// and values is made, the pass runs, and only then is anything drawn or said; a pass that fails
// leaves every sequence as it was. Iteration-level scheduling is due to Yu et al., "Orca", OSDI
// 2022; the mixing of prompts in chunks with decoding to Agrawal et al., "Sarathi-Serve", OSDI
// 2024.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/batch/grouped_decode.h"
#include "engine/batch/sequence.h"
#include "engine/engine_state.h"
#include "engine/order/order_policy.h"
#include "engine/prefix/prefix_tree.h"
#include "engine/service.h"
#include "kv/store/block_store.h"
#include "sampling/sampler.h"

namespace plimsoll::engine::batch {

struct BatchOptions {
  uint32_t n_parallel = 1;           // contexts for which there is always room
  uint32_t max_running = 256;        // sequences of one step; not those that are paused
  double max_seconds = 3600;         // of one request, from its arrival to its end
  double max_paused_seconds = 60;    // that a request waits for its reader
  std::string order = "fcfs";        // of those that wait (order/order_policy.h)
  double max_order_seconds = 300;    // after which a request goes first, whatever its order
  double max_still_seconds = 30;     // that an answer stands still for others (decode_turns.h)
  uint32_t min_decode_groups = 1;    // above 1, for tests: they decode in groups at any cost
  bool prefix_cache = true;          // false: every prompt is computed, whoever computed it before
  bool evict_by_recency = false;     // prefix::PrefixEviction::kLeastRecent, which has no log
  std::filesystem::path prefix_log;  // where the cache's decisions go; "": nowhere
};

// What has happened since the start.
struct BatchTotals {
  uint64_t n_steps = 0;
  uint64_t n_preempted = 0;
  std::array<uint64_t, kNFinishReasons> n_finished = {};
  uint64_t n_failed = 0;
  uint64_t prompt_tokens = 0;
  uint64_t prompt_tokens_reused = 0;
  // By all passes, also those of sequences computed anew and of patch prompts.
  uint64_t computed_tokens = 0;
  uint64_t prefix_lookups = 0;   // requests that were started, and
  uint64_t prefix_hits = 0;      // of these, those a part of whose prompt was there
  uint64_t restored_tokens = 0;  // whose keys and values came from a disk
  std::array<uint64_t, kv::policy::kNPolicyKinds> n_started_under = {};  // requests, by policy
  uint64_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

// For one thread at a time.
class Batcher {
 public:
  // Reserves the KV cache of n_parallel contexts. `state` outlives it. kUsage for an order that
  // there is not.
  [[nodiscard]] static Result<std::unique_ptr<Batcher>> Create(EngineState& state,
                                                               const BatchOptions& options);
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;
  ~Batcher();

  // What of a request's sequence goes; nothing where it keeps everything. A problem as MakeEviction
  // and ForPrompt, and for a policy of its own that wants more room than there always is.
  // Thread-safe.
  [[nodiscard]] kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> EvictionOf(
      const GenerationRequest& request) const;
  // `request` is valid (CheckRequest, EvictionOf).
  void Add(RequestId id, GenerationRequest request, std::shared_ptr<GenerationSink> sink,
           Clock::time_point arrived);
  void Cancel(RequestId id);
  void CancelAll();

  enum class Outcome {
    kIdle,    // there is nothing to do
    kWorked,  // call again at once
    kPaused,  // all there is waits for its reader, or for blocks on their way to or from a disk
  };
  Outcome Step(Clock::time_point now);

  // The mean of the last layer's output over a text, of length 1.
  [[nodiscard]] Result<std::vector<float>> Embed(std::span<const TokenId> tokens);

  [[nodiscard]] std::span<const SequencePtr> running() const { return running_; }
  // Started, and waiting for their readers; another number when anything of them has changed.
  [[nodiscard]] std::span<const SequencePtr> paused() const { return paused_; }
  [[nodiscard]] uint64_t n_paused_changes() const { return n_paused_changes_; }
  [[nodiscard]] const std::deque<SequencePtr>& waiting() const { return waiting_; }
  [[nodiscard]] const BatchTotals& totals() const { return totals_; }
  [[nodiscard]] uint64_t n_blocks() const;
  [[nodiscard]] uint64_t n_free_blocks() const;
  [[nodiscard]] prefix::PrefixTreeStats prefix_stats() const {
    return tree_ == nullptr ? prefix::PrefixTreeStats() : tree_->stats();
  }
  // Nothing where no blocks go to a disk.
  [[nodiscard]] std::optional<kv::BlockStoreStats> store_stats() const {
    return store_ == nullptr ? std::nullopt : std::optional(store_->stats());
  }
  // Groups that take turns; 1 while all decode together.
  [[nodiscard]] uint32_t n_decode_groups() const {
    return groups_ == nullptr ? 1 : groups_->n_groups();
  }
  // How long requests have lately waited between two that were started while others waited.
  [[nodiscard]] double seconds_per_start() const { return seconds_per_start_; }

 private:
  // The tokens of a sequence that a step computes.
  struct Piece {
    Sequence* sequence = nullptr;
    uint32_t n = 0;
    bool wants_logits = false;
    GeneratedToken drawn;
    std::optional<Error> error = {};  // there is no token that could be drawn
  };

  Batcher(EngineState& state, const BatchOptions& options);

  [[nodiscard]] bool HasRoomFor(const GenerationRequest& request,
                                const std::optional<kv::policy::Eviction>& eviction) const;

  // Ends those whose time is over, and lets those go on whose readers have taken what there was.
  void LookAtTimes(Clock::time_point now);
  // The error of a sequence whose time is over.
  [[nodiscard]] std::optional<Error> Expiry(const Sequence& sequence, Clock::time_point now) const;
  void LookAtPaused(Clock::time_point now);
  void Pause(Sequence& sequence, Clock::time_point now);
  void AdmitWaiting(Clock::time_point now);
  [[nodiscard]] std::vector<Sequence*> WaitingInOrder(Clock::time_point now);
  [[nodiscard]] order::WaitingRequest FactsOf(Sequence& sequence);
  // Whether it shares prefixes. What stays of one that does not keep everything depends on how long
  // it is: no block of it is another's.
  [[nodiscard]] bool Shares(const Sequence& sequence) const {
    return tree_ != nullptr && !sequence.eviction;
  }
  void LookUpPrefix(Sequence& sequence);
  // Whether it will not outgrow the memory with those that run, as far as lengths are guessed.
  [[nodiscard]] bool FitsBesideRunning(Sequence& sequence, uint32_t n_shared);
  // That those who wait for their readers can give up.
  [[nodiscard]] double TokensOfPaused();
  [[nodiscard]] bool Admit(Sequence& sequence, Clock::time_point now);
  // What holds its answer to a form needs memory too; false when there is none.
  [[nodiscard]] bool ProvideForFilter(Sequence& sequence);
  // Whether a running sequence that is reading will have computed a longer beginning of this one
  // than is there by now. One that is answering may stand still for its reader.
  [[nodiscard]] bool ShouldWaitForPrefix(Sequence& sequence);
  // Has states kept on the way of its prompt, from which others that begin alike can go on, as far
  // as there is memory; `n_common` of its first tokens are in the tree.
  void MarkStates(Sequence& sequence, uint32_t n_common);
  // Those that it has passed are the tree's from now on.
  void AttachStates(Sequence& sequence);
  // The longest beginning of its tokens that is there, as a sequence of its own.
  [[nodiscard]] std::unique_ptr<kv::KvSequence> SharePrefix(Sequence& sequence);

  // The sequence's blocks that a disk has behind the first `n_blocks`, if reading them takes less
  // time than computing them.
  [[nodiscard]] std::vector<kv::BlockKey> WorthRestoring(Sequence& sequence, size_t n_blocks,
                                                         Clock::time_point now);
  // How many of these are of keys and values: those of a state come last.
  [[nodiscard]] uint32_t BlocksAmong(std::span<const kv::BlockKey> names) const;
  void BeginRestore(Sequence& sequence, std::span<const kv::BlockKey> names);
  [[nodiscard]] static uint32_t RestoredTokens(const Sequence& sequence);
  // Those whose blocks are back go on behind them.
  void FinishRestores();
  // Its keys and values, and what of the tree it uses.
  static void LetGoOfMemory(Sequence& sequence);

  void Plan(Clock::time_point now);
  void PlanAnswers(Clock::time_point now, uint32_t& budget);
  void PlanPrompts(uint32_t budget);
  // Those whose readers have room for more; the others pause.
  [[nodiscard]] std::vector<Sequence*> AnsweringNow(Clock::time_point now);
  // Of the next n tokens of a prompt, those that can be computed now: all, or as many as its budget
  // lets in at a time. Nothing when what was to make room for them could not be computed, and it
  // has failed.
  [[nodiscard]] std::optional<uint32_t> PromptPart(Sequence& sequence, uint32_t n);
  // Room for n tokens, whose blocks were provided. False when its patch prompt could not be
  // computed, and it has failed.
  [[nodiscard]] bool Append(Sequence& sequence, uint32_t n);
  // Makes room for the next token of a sequence that is answering; false when there is none, and it
  // waits again or has failed.
  [[nodiscard]] bool Extend(Sequence& sequence);
  // Makes the pool have n free blocks, from the ledger, from prefixes that nobody uses, from those
  // that requests wait with (`for_whom` keeps its own), or from those who wait for their readers.
  [[nodiscard]] bool Provide(uint64_t n_blocks, const Sequence* for_whom = nullptr);
  // The same without what others would miss.
  [[nodiscard]] bool ProvideFromCache(uint64_t n_blocks);
  // The youngest waiting request that holds a prefix lets it go.
  [[nodiscard]] bool UnprotectWaiting(const Sequence* but);
  [[nodiscard]] bool PreemptOneStartedAfter(const Sequence& sequence);
  void Preempt(Sequence& sequence);
  // The one that has waited for its reader the longest; it goes on waiting without its memory.
  [[nodiscard]] bool PreemptPaused();

  void RunPlan();
  [[nodiscard]] Result<> Pass(std::span<Piece> pieces);
  void Draw(Piece& piece, std::span<float> logits);
  void Commit(std::span<Piece> pieces);
  void Commit(Piece& piece);

  void Finish(Sequence& sequence, FinishReason reason);
  void FailSequence(Sequence& sequence, Error error);
  [[nodiscard]] GenerationEnd EndOf(const Sequence& sequence, FinishReason reason) const;
  // Out of its list; what its filter had is for others.
  SequencePtr Remove(Sequence& sequence);
  [[nodiscard]] uint32_t n_ctx() const { return state_.summary.n_ctx; }

  EngineState& state_;
  BatchOptions options_;
  sampling::Sampler sampler_;
  std::unique_ptr<prefix::DecisionLog> prefix_log_;  // null: none
  std::unique_ptr<kv::BlockStore> store_;            // null: no blocks go to a disk
  std::unique_ptr<prefix::PrefixTree> tree_;         // null: nothing is shared
  uint64_t now_us_ = 0;                              // of this step, since the first
  std::optional<Clock::time_point> first_step_;
  std::unique_ptr<GroupedDecode> groups_;  // null: all that are answering decode in every step
  std::vector<SequencePtr> running_;       // in order of first start
  std::vector<SequencePtr> paused_;        // in the order in which their readers fell behind
  std::deque<SequencePtr> waiting_;        // in order of arrival
  uint64_t n_paused_changes_ = 0;
  size_t next_paused_ = 0;  // to look at
  struct {
    uint64_t changes = 0;  // at which they were counted
    double n = 0;
  } paused_tokens_;
  std::optional<Clock::time_point> last_look_;
  std::unique_ptr<order::OrderPolicy> order_;
  uint64_t n_turns_ = 0;         // sequences that were started
  uint64_t n_promised_ = 0;      // blocks of the pool, all of them
  uint64_t n_reserved_ = 0;      // of these, those that were from the start
  const size_t n_answer_rooms_;  // for answers that are held to a form, whatever else is there
  std::vector<Piece> plan_;
  std::vector<model::ChunkToken> chunk_;
  std::vector<uint32_t> wanted_;
  std::vector<float> raw_;  // logits of one draw
  BatchTotals totals_;
  std::optional<Clock::time_point> last_start_;
  double seconds_per_start_ = 0;
  double seconds_per_prompt_token_ = 0;  // of late; 0: none was computed yet
};

// kUsage for a request that can never run: no tokens, unknown ones, more than the context holds, or
// sampling parameters out of range. Thread-safe.
[[nodiscard]] Result<> CheckRequest(const GenerationRequest& request, uint32_t n_ctx,
                                    uint64_t vocab_size);

}  // namespace plimsoll::engine::batch
