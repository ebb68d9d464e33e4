// Who of those that wait begins to run, and with which memory.
#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "engine/batch/batcher.h"
#include "engine/batch/sequence_lists.h"
#include "engine/order/occupancy.h"
#include "engine/request_scorer.h"

namespace plimsoll::engine::batch {
namespace {

// Blocks that the cache grows by, if the line has them: 2,048 tokens.
constexpr uint64_t kGrowth = 64;

// What others have to compute of a common beginning that is worth waiting for, rather than
// computing it twice.
constexpr uint32_t kWorthWaiting = 64;

// An answer that is longer than was guessed is taken to grow by a further part.
constexpr double kLongerThanGuessed = 1.25;

// For blocks that are being saved; a disk that takes longer has stopped to answer.
constexpr std::chrono::seconds kSaveBound{10};

}  // namespace

// In the policy's order. One that would compute what another is computing lets others pass; one for
// which there is no room does not, or it would wait for ever.
void Batcher::AdmitWaiting(Clock::time_point now) {
  if (waiting_.empty()) {
    last_start_.reset();  // the time until the next start says nothing about waiting
    return;
  }
  const auto is_full = [&] { return running_.size() >= options_.max_running; };
  if (is_full()) {
    return;
  }
  for (Sequence* sequence : WaitingInOrder(now)) {
    if (is_full()) {
      return;
    }
    if (ShouldWaitForPrefix(*sequence)) {
      continue;
    }
    if (auto scored = ProvideScorer(state_, sequence->eviction); !scored) {
      FailSequence(*sequence, std::move(scored).error());
      continue;
    }
    if (!Admit(*sequence, now)) {
      return;
    }
    if (last_start_ && !waiting_.empty()) {
      const double seconds = SecondsBetween(*last_start_, now);
      seconds_per_start_ += (seconds - seconds_per_start_) / 8;
    }
    last_start_ = now;
  }
}

// Those that gave their memory up come first, in order of their start: nobody who was started waits
// for one who was not. Then those that have waited too long, then by rank.
std::vector<Sequence*> Batcher::WaitingInOrder(Clock::time_point now) {
  struct Place {
    int group = 0;
    double rank = 0;
    uint64_t number = 0;
    Sequence* sequence = nullptr;
  };
  std::vector<Place> places;
  for (const SequencePtr& sequence : waiting_) {
    Place& place = places.emplace_back();
    place.sequence = sequence.get();
    place.number = sequence->turn != 0 ? sequence->turn : sequence->id;
    if (sequence->turn == 0) {
      const bool is_overdue = SecondsBetween(sequence->arrived, now) > options_.max_order_seconds;
      place.group = is_overdue ? 1 : 2;
      place.rank = is_overdue ? 0 : order_->Rank(FactsOf(*sequence));
    }
  }
  std::ranges::sort(places, [](const Place& a, const Place& b) {
    return std::tie(a.group, a.rank, a.number) < std::tie(b.group, b.rank, b.number);
  });
  std::vector<Sequence*> ordered;
  std::ranges::transform(places, std::back_inserter(ordered), &Place::sequence);
  return ordered;
}

order::WaitingRequest Batcher::FactsOf(Sequence& sequence) {
  const GenerationRequest& request = sequence.request;
  order::WaitingRequest facts = {.client = request.prefix_owner, .n_prompt = sequence.n_prompt()};
  if (Shares(sequence) && order_->looks_at_sharing() && sequence.turn == 0) {
    LookUpPrefix(sequence);
    facts.n_shared = tree_->Shareable(sequence.prefix, facts.n_prompt);
  }
  const uint32_t room = n_ctx() - facts.n_prompt;
  const uint32_t n_predict = request.options.n_predict;
  facts.max_output = n_predict == 0 ? room : std::min(n_predict, room);
  facts.output_is_known =
      request.expected_output.has_value() || (request.options.ignore_end && n_predict != 0);
  if (request.expected_output) {
    facts.max_output = std::min(*request.expected_output, facts.max_output);
  }
  facts.priority = request.priority;
  return facts;
}

void Batcher::LookUpPrefix(Sequence& sequence) {
  if (!sequence.prefix) {
    sequence.prefix = tree_->Find(sequence.request.prefix_owner, sequence.tokens);
  } else {
    tree_->FindMore(sequence.prefix, sequence.tokens);
  }
}

bool Batcher::ShouldWaitForPrefix(Sequence& sequence) {
  if (!Shares(sequence)) {
    return false;
  }
  LookUpPrefix(sequence);
  // Who waits does so until all of it is there.
  sequence.waits_for_prefix =
      tree_->IsPromised(sequence.prefix, sequence.waits_for_prefix ? 1 : kWorthWaiting);
  return sequence.waits_for_prefix;
}

std::unique_ptr<kv::KvSequence> Batcher::SharePrefix(Sequence& sequence) {
  // The last token is computed in any case: its logits are wanted.
  const auto limit = static_cast<uint32_t>(sequence.tokens.size()) - 1;
  if (!Shares(sequence)) {
    auto kv = std::make_unique<kv::KvSequence>(*state_.kv_pool, n_ctx(), limit + 1);
    if (sequence.eviction) {
      kv->LimitTo(*sequence.eviction, state_.ScorerFor(*sequence.eviction));
    }
    return kv;
  }
  return tree_->Share(sequence.prefix, tree_->Shareable(sequence.prefix, limit), n_ctx());
}

double Batcher::TokensOfPaused() {
  if (paused_tokens_.changes != n_paused_changes_) {
    paused_tokens_ = {.changes = n_paused_changes_, .n = 0};
    for (const SequencePtr& sequence : paused_) {
      paused_tokens_.n += std::max<double>(sequence->n_computed, sequence->n_reused);
      paused_tokens_.n -= sequence->n_reused;
    }
  }
  return paused_tokens_.n;
}

bool Batcher::FitsBesideRunning(Sequence& sequence, uint32_t n_shared) {
  sequence.expected_output = order_->ExpectedOutput(FactsOf(sequence));
  if (!sequence.expected_output || running_.empty()) {
    return true;
  }
  std::vector<order::Growing> growing;
  const auto add = [&](const Sequence& one, uint32_t n_not_its_own) {
    const auto n_tokens = static_cast<double>(one.tokens.size());
    const double n_done = n_tokens - one.n_prompt();
    const double n_all = std::max(one.expected_output.value_or(0), n_done * kLongerThanGuessed);
    const double most = one.eviction ? one.eviction->budget() * kv::kBlockTokens : n_ctx();
    const double n_now = std::min(n_tokens - n_not_its_own, most);
    // Up to a block is begun and not full.
    const uint32_t n_begun = (1 + state_.BlocksBeside(one.eviction)) * kv::kBlockTokens;
    growing.push_back({.n_now = n_now + n_begun, .n_more = std::min(n_all - n_done, most - n_now)});
  };
  std::ranges::for_each(running_, [&](const SequencePtr& one) { add(*one, one->n_reused); });
  // Beginnings that nobody who runs has computed are held by them all, and by this one too.
  const kv::BlockPool& pool = *state_.kv_pool;
  const auto n_held =
      static_cast<double>((pool.n_blocks() - pool.n_free() - pool.n_idle()) * kv::kBlockTokens);
  double n_own = 0;
  for (const order::Growing& one : growing) {
    n_own += one.n_now;
  }
  const double n_of_all = std::max(n_held - n_own - TokensOfPaused(), 0.0);
  add(sequence, n_shared);
  const uint64_t n_more =
      state_.ledger->available_bytes(memory::Account::kKv) / pool.layout().block_bytes();
  const auto room = static_cast<double>((pool.n_blocks() + n_more) * kv::kBlockTokens);
  return n_of_all + order::PeakOccupancy(growing) <= room;
}

// One of the rooms that there always are; when all are taken, what the line has left.
bool Batcher::ProvideForFilter(Sequence& sequence) {
  const auto& filter = sequence.request.filter;
  if (filter == nullptr || sequence.filter_memory.bytes() >= filter->max_bytes()) {
    return true;
  }
  auto& rooms = state_.answer_rooms;
  if (!rooms.empty() && rooms.back().bytes() >= filter->max_bytes()) {
    sequence.filter_memory = std::move(rooms.back());
    rooms.pop_back();
    return true;
  }
  auto reserved = state_.ledger->Reserve(memory::Account::kVocab, filter->max_bytes());
  if (!reserved) {
    return false;
  }
  sequence.filter_memory = *std::move(reserved);
  return true;
}

bool Batcher::Admit(Sequence& sequence, Clock::time_point now) {
  if (!ProvideForFilter(sequence)) {
    if (running_.empty() && paused_.empty()) {  // nobody will give any back
      FailSequence(sequence, {ErrorKind::kDoesNotFit,
                              "the line has no room to hold this answer to its form"});
    }
    return false;
  }
  auto kv = SharePrefix(sequence);
  uint32_t n_found = kv->n_tokens();
  const size_t n_shared = n_found / kv::kBlockTokens;
  std::vector<kv::BlockKey> names = WorthRestoring(sequence, n_shared, now);
  if (!names.empty()) {  // from the end of a block on
    n_found = static_cast<uint32_t>(n_shared * kv::kBlockTokens);
    kv->Truncate(n_found);
  }
  if (!FitsBesideRunning(sequence, n_found)) {
    return false;
  }
  const auto n_all = static_cast<uint32_t>(sequence.tokens.size());
  const uint32_t n_missing = std::min(n_all - n_found, kv->AppendRoom());
  // What is left of the tokens then takes no more than it gives up, or what is reserved.
  if (!Provide(kv->BlocksToReserve(n_all), &sequence)) {
    return false;
  }
  kv->Reserve(n_all);
  if (!Provide(kv->BlocksToAppend(n_missing), &sequence) ||
      kv->Append(n_missing, n_found) != kv::AppendOutcome::kAppended) {
    return false;
  }
  if (!names.empty() && kv->states() != nullptr) {
    if (ProvideFromCache(state_.kv_pool->layout().n_state_blocks())) {
      sequence.restored_state = kv::StateBlocks::Allocate(*state_.kv_pool);
    } else {
      names.clear();
    }
  }
  sequence.kv = std::move(kv);
  sequence.n_computed = n_found;
  if (Shares(sequence)) {
    const uint32_t n_common = tree_->ReadyTokens(sequence.prefix);
    tree_->Start(sequence.prefix, sequence.tokens, *sequence.kv, n_found, now_us_,
                 !sequence.started);
    MarkStates(sequence, n_common);
  }
  if (!sequence.started) {
    sequence.started = now;
    sequence.n_reused = n_found;
    ++totals_.prefix_lookups;
    sequence.restores_prompt = !names.empty();
    totals_.prefix_hits += n_found > 0 || !names.empty() ? 1U : 0U;
    totals_.prompt_tokens += sequence.n_prompt();
    totals_.prompt_tokens_reused += n_found;
    const auto kind = sequence.eviction ? sequence.eviction->kind() : kv::policy::PolicyKind::kFull;
    ++totals_.n_started_under[static_cast<size_t>(kind)];
  }
  if (sequence.turn == 0) {
    sequence.turn = ++n_turns_;
  }
  if (!names.empty()) {
    BeginRestore(sequence, names);
  }
  InsertByTurn(running_, TakeFrom(waiting_, sequence));
  sequence.sink->OnPrompt(std::min(n_found, sequence.n_prompt()), sequence.n_prompt());
  return true;
}

uint32_t Batcher::BlocksAmong(std::span<const kv::BlockKey> names) const {
  const uint32_t n_state = state_.kv_pool->layout().n_state_blocks();
  return names.empty() ? 0 : static_cast<uint32_t>(names.size()) - n_state;
}

// Of a sequence that has room for its tokens, behind those that are computed.
void Batcher::BeginRestore(Sequence& sequence, std::span<const kv::BlockKey> names) {
  sequence.n_restoring = BlocksAmong(names);
  std::vector<std::byte*> to;
  for (uint32_t i = 0; i < sequence.n_restoring; ++i) {
    to.push_back(sequence.kv->MutableBlock(sequence.n_computed + i * kv::kBlockTokens));
  }
  if (sequence.restored_state != nullptr) {
    for (const BlockId block : sequence.restored_state->blocks()) {
      to.push_back(state_.kv_pool->Data(block));
    }
  }
  sequence.restore = store_->Begin(names, to);
}

// By what both took of late; as long as that is not known, by what is assumed of them.
std::vector<kv::BlockKey> Batcher::WorthRestoring(Sequence& sequence, size_t n_blocks,
                                                  Clock::time_point now) {
  if (store_ == nullptr || !Shares(sequence)) {
    return {};
  }
  // The last token is computed in any case: its logits are wanted.
  const auto limit = (sequence.tokens.size() - 1) / kv::kBlockTokens;
  std::vector<kv::BlockKey> names =
      tree_->InStore(sequence.prefix, sequence.tokens, n_blocks, limit - std::min(limit, n_blocks));
  const uint32_t n_tokens = BlocksAmong(names) * kv::kBlockTokens;
  const double bytes = static_cast<double>(names.size() * state_.kv_pool->layout().block_bytes());
  const double reload = bytes / store_->ReadSpeedAt(now);
  const double recompute = seconds_per_prompt_token_ > 0
                               ? n_tokens * seconds_per_prompt_token_
                               : tree_->ways_back().RecomputeSeconds(
                                     static_cast<uint32_t>(n_blocks) * kv::kBlockTokens, n_tokens);
  return reload < recompute ? names : std::vector<kv::BlockKey>();
}

// Without its state a block of a recurrent model is of no use.
uint32_t Batcher::RestoredTokens(const Sequence& sequence) {
  const uint32_t n_sound = sequence.restore->n_sound();
  if (sequence.restored_state == nullptr) {
    return n_sound * kv::kBlockTokens;
  }
  const size_t n_all = sequence.n_restoring + sequence.restored_state->blocks().size();
  return n_sound == n_all ? sequence.n_restoring * kv::kBlockTokens : 0;
}

void Batcher::FinishRestores() {
  for (const SequencePtr& sequence : running_) {
    if (sequence->restore == nullptr || !sequence->restore->is_over()) {
      continue;
    }
    const uint32_t n = RestoredTokens(*sequence);
    sequence->restore.reset();
    sequence->n_computed += n;
    totals_.restored_tokens += n;
    if (std::exchange(sequence->restores_prompt, false)) {
      sequence->n_reused += n;
      totals_.prompt_tokens_reused += n;
    }
    tree_->Advance(sequence->prefix, std::span(sequence->tokens).first(sequence->n_computed),
                   *sequence->kv, now_us_);
    if (auto state = std::exchange(sequence->restored_state, nullptr); state != nullptr && n > 0) {
      tree_->AttachState(sequence->prefix, sequence->n_computed, state->blocks());
      sequence->kv->states()->StartFrom(sequence->n_computed, std::move(state));
    }
    sequence->sink->OnPrompt(std::min(sequence->n_computed, sequence->n_prompt()),
                             sequence->n_prompt());
  }
}

// A state at the end of the prompt: the next turn of a conversation has that in common. Another
// where it leaves what others have computed: who branches off there once is likely not the last
// (Pan et al., "Marconi", arXiv:2411.19379, keeps states at the same two places).
void Batcher::MarkStates(Sequence& sequence, uint32_t n_common) {
  kv::RecurrentStates* states = sequence.kv->states();
  if (states == nullptr) {
    return;
  }
  const uint32_t end = kv::LastMarkOf(sequence.n_prompt());
  const uint32_t branch = n_common / kv::kBlockTokens * kv::kBlockTokens;
  for (const uint32_t mark : {end, branch < end ? branch : 0}) {
    if (mark >= sequence.n_computed + kWorthWaiting &&
        ProvideFromCache(state_.kv_pool->layout().n_state_blocks()) && states->Mark(mark)) {
      tree_->PromiseState(sequence.prefix, mark);
    }
  }
}

void Batcher::AttachStates(Sequence& sequence) {
  kv::RecurrentStates* states = sequence.kv->states();
  if (states == nullptr) {
    return;
  }
  for (const auto& mark : states->marked()) {
    tree_->AttachState(sequence.prefix, mark.n_tokens, mark.state->blocks());
  }
  states->UnmarkBefore(states->n_tokens() + 1);
}

bool Batcher::ProvideFromCache(uint64_t n_blocks) {
  kv::BlockPool& pool = *state_.kv_pool;
  while (pool.n_free() < n_blocks) {
    // The pool has promised all of its blocks to this, so that a promise is one of new ones.
    const uint64_t n_missing = n_blocks - pool.n_free();
    bool grown = false;
    for (const uint64_t n : {std::max(n_missing, kGrowth), n_missing}) {
      if (!grown && pool.Promise(n)) {
        n_promised_ += n;
        grown = true;
      }
    }
    if (!grown && (tree_ == nullptr || !tree_->Evict(now_us_))) {
      return false;
    }
  }
  return true;
}

bool Batcher::Provide(uint64_t n_blocks, const Sequence* for_whom) {
  while (!ProvideFromCache(n_blocks)) {
    // What is being saved stays until it is: that takes less than anything else that is left.
    if ((tree_ == nullptr || !tree_->FinishSaves(kSaveBound)) && !UnprotectWaiting(for_whom) &&
        !PreemptPaused()) {
      return false;
    }
  }
  return true;
}

bool Batcher::UnprotectWaiting(const Sequence* but) {
  const auto at = std::find_if(waiting_.rbegin(), waiting_.rend(), [&](const SequencePtr& other) {
    return other.get() != but && other->prefix;
  });
  if (at == waiting_.rend()) {
    return false;
  }
  (*at)->prefix.Release();
  return true;
}

}  // namespace plimsoll::engine::batch
