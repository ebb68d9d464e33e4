#include "engine/batch/batcher.h"

#include <algorithm>
#include <utility>

#include "base/invariant.h"
#include "engine/attention_work.h"
#include "engine/batch/sequence_lists.h"
#include "engine/kv_eviction.h"
#include "engine/model_identity.h"
#include "engine/patch_look.h"
#include "kv/policy/episodes.h"

namespace plimsoll::engine::batch {
namespace {

// While someone waits for its next token, a prompt gets this part of a step; but all of it where
// weights are paged or streamed, since every chunk reads those that are missing anew.
constexpr uint32_t kPromptShare = 4;
constexpr uint32_t kLeastPromptChunk = 32;

// How often it is looked whose time is over and whose reader is back, while others run; and at how
// many of those who wait for their readers.
constexpr auto kLookEvery = std::chrono::milliseconds(5);
constexpr size_t kPausedLooks = 64;

// What a token of a prompt costs, at a speed that no machine has: prices are compared among
// themselves. Windows of attention are left out, all positions are seen from half the context on.
prefix::WaysBack RecomputeCost(const EngineState& state) {
  constexpr double kMultiplyAddsPerSecond = 1e10;
  const uint32_t middle = state.summary.n_ctx / 2;
  const auto attention = static_cast<double>(
      AttentionAt(state.model->hyper_params(), state.kv_pool->layout(), middle).multiply_adds);
  return {.seconds_per_token =
              static_cast<double>(state.contents.parameters_active) / kMultiplyAddsPerSecond,
          .seconds_per_token_and_position = attention / (middle + 1.0) / kMultiplyAddsPerSecond};
}

// Null where no blocks go to a disk.
Result<std::unique_ptr<kv::BlockStore>> OpenStore(const EngineState& state) {
  if (state.kv_disk.bytes == 0) {
    return nullptr;
  }
  const auto model = ModelIdentity(state.catalogue, state.model->TurnsByLongFactors());
  if (!model) {
    return tl::unexpected(model.error());
  }
  return kv::BlockStore::Open({.folder = state.kv_disk.folder,
                               .max_bytes = state.kv_disk.bytes,
                               .max_folder_bytes = state.kv_disk.folder_bytes,
                               .traffic = state.traffic.get(),
                               .on_note = state.on_note},
                              *model, state.kv_pool->layout(), *state.ledger);
}

}  // namespace

Result<> CheckRequest(const GenerationRequest& request, uint32_t n_ctx, uint64_t vocab_size) {
  if (request.prompt.empty()) {
    return Fail(ErrorKind::kUsage, "the prompt has no tokens");
  }
  if (request.prompt.size() >= n_ctx) {
    return Fail(ErrorKind::kUsage,
                "a prompt of {} tokens leaves no room for an answer in the context of {}\nlengthen "
                "the context (-c), or shorten the prompt",
                request.prompt.size(), n_ctx);
  }
  for (const TokenId token : request.prompt) {
    if (token < 0 || static_cast<uint64_t>(token) >= vocab_size) {
      return Fail(ErrorKind::kUsage, "{} is no token id: the vocabulary has ids 0 to {}", token,
                  vocab_size - 1);
    }
  }
  if (request.n_top_logprobs.value_or(0) > kMaxTopLogprobs) {
    return Fail(ErrorKind::kUsage, "at most the {} likeliest tokens can be told", kMaxTopLogprobs);
  }
  return request.options.sampling.Validate();
}

Result<std::unique_ptr<Batcher>> Batcher::Create(EngineState& state, const BatchOptions& options) {
  std::unique_ptr<Batcher> batcher(new Batcher(state, options));
  auto order = order::MakeOrderPolicy(options.order);
  if (!order) {
    return Forward(order);
  }
  batcher->order_ = std::move(*order);
  if (batcher->order_->decodes_in_groups() && state.paging != nullptr) {
    batcher->groups_ = std::make_unique<GroupedDecode>(
        state, order::TurnLimits{.max_still_seconds = options.max_still_seconds,
                                 .min_groups = options.min_decode_groups});
  }
  const uint64_t n_blocks = options.n_parallel * state.BlocksOfSequence();
  if (auto promised = state.kv_pool->Promise(n_blocks); !promised) {
    return Forward(promised);
  }
  batcher->n_promised_ = batcher->n_reserved_ = n_blocks;
  if (!options.prefix_cache) {
    return batcher;
  }
  if (!options.prefix_log.empty()) {
    auto log = prefix::DecisionLogFile::Create(options.prefix_log);
    if (!log) {
      return Forward(log);
    }
    batcher->prefix_log_ = std::move(*log);
  }
  auto store = OpenStore(state);
  if (!store) {
    return Forward(store);
  }
  batcher->store_ = *std::move(store);
  prefix::WaysBack ways_back = RecomputeCost(state);
  ways_back.reload_bytes_per_second = batcher->store_ == nullptr ? 0 : kv::ReadSpeed::kAssumed;
  batcher->tree_ = std::make_unique<prefix::PrefixTree>(
      *state.kv_pool, *state.ledger,
      prefix::PrefixTreeOptions{.eviction = options.evict_by_recency
                                                ? prefix::PrefixEviction::kLeastRecent
                                                : prefix::PrefixEviction::kPrice,
                                .clock = {},
                                .ways_back = ways_back,
                                .log = batcher->prefix_log_.get(),
                                .store = batcher->store_.get()});
  return batcher;
}

Batcher::Batcher(EngineState& state, const BatchOptions& options)
    : state_(state),
      options_(options),
      sampler_(state.tokenizer->size()),
      n_answer_rooms_(state.answer_rooms.size()) {
  options_.max_running = std::min(options.max_running, state.model->max_chunk());
  chunk_.reserve(state.model->max_chunk());
}

Batcher::~Batcher() {
  CancelAll();
  state_.kv_pool->Unpromise(n_promised_);
}

uint64_t Batcher::n_blocks() const { return state_.kv_pool->n_blocks(); }
uint64_t Batcher::n_free_blocks() const { return state_.kv_pool->n_free(); }

kv::policy::PolicyResult<std::optional<kv::policy::Eviction>> Batcher::EvictionOf(
    const GenerationRequest& request) const {
  std::optional<kv::policy::Eviction> eviction = state_.eviction;
  if (request.kv_policy) {
    auto own = EvictionFor(*request.kv_policy, *state_.model, n_ctx());
    if (!own) {
      return tl::unexpected(std::move(own).error());
    }
    eviction = *own;
  }
  if (eviction) {
    auto for_prompt = kv::policy::ForPrompt(*eviction, request.prompt.size());
    if (!for_prompt) {
      return tl::unexpected(std::move(for_prompt).error());
    }
    eviction = *for_prompt;
  }
  if (request.kv_policy && !HasRoomFor(request, eviction)) {
    return tl::unexpected(kv::policy::PolicyProblem{
        .option = eviction ? "budget" : "policy",
        .text = fmt::format("asks for too much: keys and values of all sequences have {} here",
                            FormatBytes(n_reserved_ * state_.kv_pool->layout().block_bytes()))});
  }
  return eviction;
}

// What is reserved is for requests under the engine's own policy. Any other may have all of it, but
// no more: what else the line has may be gone when it is wanted.
bool Batcher::HasRoomFor(const GenerationRequest& request,
                         const std::optional<kv::policy::Eviction>& eviction) const {
  const uint32_t n_predict = request.options.n_predict;
  uint64_t n_tokens = n_predict == 0 ? n_ctx() : request.prompt.size() + n_predict;
  n_tokens = std::min<uint64_t>(n_tokens, n_ctx());
  if (eviction) {
    n_tokens = std::min(n_tokens, uint64_t{eviction->budget()} * kv::kBlockTokens);
  }
  return kv::BlockPool::BlocksFor(n_tokens) + state_.BlocksBeside(eviction) <= n_reserved_;
}

void Batcher::Add(RequestId id, GenerationRequest request, std::shared_ptr<GenerationSink> sink,
                  Clock::time_point arrived) {
  auto sequence = std::make_unique<Sequence>();
  auto eviction = EvictionOf(request);
  Invariant(eviction.has_value(), "a request is refused before it is added");
  sequence->eviction = *eviction;
  sequence->id = id;
  sequence->request = std::move(request);
  sequence->sink = std::move(sink);
  sequence->tokens = sequence->request.prompt;
  if (sequence->eviction && sequence->eviction->has_patch()) {
    sequence->patch = kv::policy::PatchPrompt(sequence->tokens);
  }
  sequence->arrived = arrived;
  sequence->answer.emplace(*state_.tokenizer, sequence->tokens.back(), sequence->request.options);
  InsertById(waiting_, std::move(sequence));
}

void Batcher::Cancel(RequestId id) {
  const auto found_in = [&](auto& list) {
    const auto at = std::ranges::find_if(
        list, [id](const SequencePtr& sequence) { return sequence->id == id; });
    if (at == list.end()) {
      return false;
    }
    Finish(**at, FinishReason::kInterrupted);
    return true;
  };
  static_cast<void>(found_in(running_) || found_in(paused_) || found_in(waiting_));
}

void Batcher::CancelAll() {
  while (!running_.empty()) {
    Finish(*running_.back(), FinishReason::kInterrupted);
  }
  while (!paused_.empty()) {
    Finish(*paused_.back(), FinishReason::kInterrupted);
  }
  while (!waiting_.empty()) {
    Finish(*waiting_.back(), FinishReason::kInterrupted);
  }
}

Batcher::Outcome Batcher::Step(Clock::time_point now) {
  const auto since_first = now - *(first_step_ = first_step_.value_or(now));
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(since_first);
  now_us_ = std::max(now_us_, static_cast<uint64_t>(std::max<int64_t>(microseconds.count(), 0)));
  LookAtTimes(now);
  FinishRestores();
  if (tree_ != nullptr) {
    tree_->SaveMore();
  }
  AdmitWaiting(now);
  Plan(now);
  if (plan_.empty()) {
    if (tree_ != nullptr) {
      tree_->FlushLog();
    }
    const bool is_saving = tree_ != nullptr && tree_->IsSaving();
    const bool is_idle = running_.empty() && paused_.empty() && waiting_.empty() && !is_saving;
    return is_idle ? Outcome::kIdle : Outcome::kPaused;
  }
  RunPlan();
  return Outcome::kWorked;
}

// Thousands may wait in either list, and a step may take a millisecond.
void Batcher::LookAtTimes(Clock::time_point now) {
  if (last_look_ && now - *last_look_ < kLookEvery && !running_.empty()) {
    return;
  }
  last_look_ = now;
  std::vector<std::pair<Sequence*, Error>> over;
  const auto look = [&](const SequencePtr& sequence) {
    if (auto expiry = Expiry(*sequence, now)) {
      over.emplace_back(sequence.get(), *std::move(expiry));
    }
  };
  std::ranges::for_each(running_, look);
  std::ranges::for_each(waiting_, look);
  for (auto& [sequence, error] : over) {
    FailSequence(*sequence, std::move(error));
  }
  LookAtPaused(now);
}

std::optional<Error> Batcher::Expiry(const Sequence& sequence, Clock::time_point now) const {
  if (SecondsBetween(sequence.arrived, now) > options_.max_seconds) {
    return Error{ErrorKind::kTimeLimit,
                 fmt::format("the request has taken longer than the {} seconds that one may take",
                             options_.max_seconds)};
  }
  if (sequence.paused_since &&
      SecondsBetween(*sequence.paused_since, now) > options_.max_paused_seconds) {
    return Error{ErrorKind::kTimeLimit, fmt::format("nothing of the answer was read for {} seconds",
                                                    options_.max_paused_seconds)};
  }
  return std::nullopt;
}

// A part of them at a time: who reads slowly can be noticed slowly.
void Batcher::LookAtPaused(Clock::time_point now) {
  const size_t n = std::min(paused_.size(), kPausedLooks);
  for (size_t i = 0; i < n && !paused_.empty(); ++i) {
    next_paused_ = next_paused_ < paused_.size() ? next_paused_ : 0;
    Sequence& sequence = *paused_[next_paused_];
    if (auto expiry = Expiry(sequence, now)) {
      FailSequence(sequence, *std::move(expiry));
    } else if (sequence.sink->HasRoom()) {
      sequence.paused_since.reset();
      SequencePtr back = TakeFrom(paused_, sequence);
      ++n_paused_changes_;
      if (back->kv != nullptr) {
        InsertByTurn(running_, std::move(back));
      } else {
        InsertById(waiting_, std::move(back));
      }
    } else {
      ++next_paused_;
    }
  }
}

void Batcher::Pause(Sequence& sequence, Clock::time_point now) {
  sequence.paused_since = now;
  paused_.push_back(TakeFrom(running_, sequence));
  ++n_paused_changes_;
}

void Batcher::Plan(Clock::time_point now) {
  plan_.clear();
  uint32_t budget = state_.model->max_chunk();
  PlanAnswers(now, budget);
  const size_t n_answers = plan_.size();
  if (n_answers > 0 && state_.paging == nullptr && state_.streaming == nullptr) {
    budget =
        std::min(budget, std::max(state_.model->max_chunk() / kPromptShare, kLeastPromptChunk));
  }
  PlanPrompts(budget);
  // Prompts first: by its first two tokens a pass is known as a prompt's (model::Step::phase),
  // whose experts do not push out what answering uses.
  std::ranges::rotate(plan_, plan_.begin() + static_cast<ptrdiff_t>(n_answers));
}

std::vector<Sequence*> Batcher::AnsweringNow(Clock::time_point now) {
  std::vector<Sequence*> answering;
  std::vector<Sequence*> pausing;
  for (const SequencePtr& sequence : running_) {
    if (sequence->is_answering()) {
      (sequence->sink->HasRoom() ? answering : pausing).push_back(sequence.get());
    }
  }
  for (Sequence* sequence : pausing) {
    Pause(*sequence, now);
  }
  return answering;
}

void Batcher::PlanAnswers(Clock::time_point now, uint32_t& budget) {
  std::vector<Sequence*> answering = AnsweringNow(now);
  if (groups_ != nullptr) {
    const bool anyone_reads = std::ranges::any_of(
        running_, [](const SequencePtr& sequence) { return sequence->is_reading(); });
    groups_->KeepThoseWhoDecode(answering, anyone_reads, now);
  }
  for (Sequence* sequence : answering) {
    if (budget == 0 || sequence->kv == nullptr) {  // it gave its memory to an older one
      continue;
    }
    if (Extend(*sequence)) {
      plan_.push_back({.sequence = sequence, .n = 1, .wants_logits = true, .drawn = {}});
      --budget;
    }
  }
}

// What is left of the step in equal parts, so that a short prompt is not behind a long one.
void Batcher::PlanPrompts(uint32_t budget) {
  std::vector<Sequence*> reading;
  for (const SequencePtr& sequence : running_) {
    if (sequence->is_reading()) {
      reading.push_back(sequence.get());
    }
  }
  std::ranges::stable_sort(reading, {}, &Sequence::n_pending);
  for (size_t i = 0; i < reading.size() && budget > 0; ++i) {
    const auto n_left = static_cast<uint32_t>(reading.size() - i);
    const uint32_t share = std::max(budget / n_left, 1U);
    const auto n = PromptPart(*reading[i], std::min(reading[i]->n_pending(), share));
    if (!n) {
      continue;
    }
    plan_.push_back({.sequence = reading[i],
                     .n = *n,
                     .wants_logits = *n == reading[i]->n_pending(),
                     .drawn = {}});
    budget -= *n;
  }
}

std::optional<uint32_t> Batcher::PromptPart(Sequence& sequence, uint32_t n) {
  kv::KvSequence& kv = *sequence.kv;
  if (sequence.n_computed == kv.n_tokens() &&
      !Append(sequence, std::min(sequence.n_pending(), kv.AppendRoom()))) {
    return std::nullopt;
  }
  return kv.PassTokens(sequence.n_computed, std::min(n, kv.n_tokens() - sequence.n_computed));
}

bool Batcher::Extend(Sequence& sequence) {
  const uint32_t n_wanted = sequence.n_computed + 1;
  if (sequence.kv->n_tokens() >= n_wanted) {
    return true;
  }
  while (!Provide(sequence.kv->BlocksToAppend(1))) {
    if (PreemptOneStartedAfter(sequence)) {
      continue;
    }
    if (running_.size() == 1) {
      FailSequence(sequence, {ErrorKind::kDoesNotFit,
                              "the line has no room for another token of this request"});
    } else {
      Preempt(sequence);
    }
    return false;
  }
  return Append(sequence, 1);
}

bool Batcher::Append(Sequence& sequence, uint32_t n) {
  auto looked = LookIfWanted(*state_.model, *sequence.kv, sequence.patch, n);
  if (!looked) {
    FailSequence(sequence, std::move(looked).error());
    return false;
  }
  totals_.computed_tokens += *looked;
  const auto outcome = sequence.kv->Append(n, sequence.n_computed);
  Invariant(outcome == kv::AppendOutcome::kAppended,
            "blocks are provided first, and a full sequence takes what it gives up");
  return true;
}

bool Batcher::PreemptOneStartedAfter(const Sequence& sequence) {
  if (running_.back().get() == &sequence) {
    return false;
  }
  Preempt(*running_.back());
  return true;
}

void Batcher::Preempt(Sequence& sequence) {
  std::erase_if(plan_, [&](const Piece& piece) { return piece.sequence == &sequence; });
  LetGoOfMemory(sequence);
  ++totals_.n_preempted;
  InsertById(waiting_, TakeFrom(running_, sequence));
}

bool Batcher::PreemptPaused() {
  const auto at = std::ranges::find_if(
      paused_, [](const SequencePtr& sequence) { return sequence->kv != nullptr; });
  if (at == paused_.end()) {
    return false;
  }
  LetGoOfMemory(**at);
  ++totals_.n_preempted;
  ++n_paused_changes_;
  return true;
}

void Batcher::LetGoOfMemory(Sequence& sequence) {
  sequence.restore.reset();
  sequence.restored_state.reset();
  sequence.kv.reset();
  sequence.n_computed = 0;
  sequence.prefix.Release();
}

SequencePtr Batcher::Remove(Sequence& sequence) {
  if (sequence.filter_memory.bytes() > 0 && state_.answer_rooms.size() < n_answer_rooms_) {
    state_.answer_rooms.push_back(std::move(sequence.filter_memory));
  }
  if (SequencePtr removed = TakeFrom(running_, sequence)) {
    return removed;
  }
  if (SequencePtr removed = TakeFrom(paused_, sequence)) {
    ++n_paused_changes_;
    return removed;
  }
  return TakeFrom(waiting_, sequence);
}

GenerationEnd Batcher::EndOf(const Sequence& sequence, FinishReason reason) const {
  const auto now = Clock::now();
  GenerationEnd end;
  end.reason = reason;
  end.stop_string = sequence.answer->stop_string();
  end.stats.reason = reason;
  end.stats.n_prompt = sequence.n_prompt();
  end.stats.n_prompt_reused = sequence.n_reused;
  end.stats.n_generated = sequence.answer->n_generated();
  const auto started = sequence.started.value_or(now);
  end.queue_seconds = SecondsBetween(sequence.arrived, started);
  const auto first = sequence.first_token.value_or(now);
  end.stats.prefill_seconds = SecondsBetween(started, first);
  end.stats.first_token_seconds = SecondsBetween(sequence.arrived, first);
  end.stats.decode_seconds = SecondsBetween(first, now);
  return end;
}

void Batcher::Finish(Sequence& sequence, FinishReason reason) {
  const SequencePtr removed = Remove(sequence);
  if (reason != FinishReason::kInterrupted) {
    order_->Learn(FactsOf(*removed),
                  static_cast<uint32_t>(removed->tokens.size()) - removed->n_prompt());
  }
  ++totals_.n_finished[static_cast<size_t>(reason)];
  LetGoOfMemory(*removed);
  removed->sink->OnEnd(EndOf(*removed, reason));
}

void Batcher::FailSequence(Sequence& sequence, Error error) {
  const SequencePtr removed = Remove(sequence);
  std::erase_if(plan_, [&](const Piece& piece) { return piece.sequence == removed.get(); });
  ++totals_.n_failed;
  GenerationEnd end = EndOf(*removed, FinishReason::kInterrupted);
  end.error = std::move(error);
  removed->sink->OnEnd(end);
}

}  // namespace plimsoll::engine::batch
