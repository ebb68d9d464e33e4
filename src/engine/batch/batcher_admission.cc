// Who of those that wait begins to run, and with which memory.
#include <algorithm>
#include <utility>

#include "engine/batch/batcher.h"
#include "engine/batch/sequence_lists.h"

namespace plimsoll::engine::batch {
namespace {

// Blocks that the cache grows by, if the line has them: 2,048 tokens.
constexpr uint64_t kGrowth = 64;

// What others have to compute of a common beginning that is worth waiting for, rather than
// computing it twice.
constexpr uint32_t kWorthWaiting = 64;

}  // namespace

// In order of arrival. One that would compute what another is computing lets others pass; one for
// which there is no room does not, or it would wait for ever.
void Batcher::AdmitWaiting(Clock::time_point now) {
  if (waiting_.empty()) {
    last_start_.reset();  // the time until the next start says nothing about waiting
    return;
  }
  std::vector<Sequence*> candidates;
  std::ranges::transform(waiting_, std::back_inserter(candidates),
                         [](const SequencePtr& sequence) { return sequence.get(); });
  for (Sequence* sequence : candidates) {
    if (running_.size() >= options_.max_running) {
      return;
    }
    if (ShouldWaitForPrefix(*sequence)) {
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

bool Batcher::ShouldWaitForPrefix(Sequence& sequence) {
  if (tree_ == nullptr) {
    return false;
  }
  if (!sequence.prefix) {
    sequence.prefix = tree_->Find(sequence.request.prefix_owner, sequence.tokens);
  } else {
    tree_->FindMore(sequence.prefix, sequence.tokens);
  }
  // Who waits does so until all of it is there.
  sequence.waits_for_prefix =
      tree_->IsPromised(sequence.prefix, sequence.waits_for_prefix ? 1 : kWorthWaiting);
  return sequence.waits_for_prefix;
}

std::unique_ptr<kv::KvSequence> Batcher::SharePrefix(Sequence& sequence) {
  // The last token is computed in any case: its logits are wanted.
  const auto limit = static_cast<uint32_t>(sequence.tokens.size()) - 1;
  if (tree_ == nullptr) {
    return std::make_unique<kv::KvSequence>(*state_.kv_pool, n_ctx(), limit + 1);
  }
  return tree_->Share(sequence.prefix, std::min(tree_->ReadyTokens(sequence.prefix), limit),
                      n_ctx());
}

bool Batcher::Admit(Sequence& sequence, Clock::time_point now) {
  auto kv = SharePrefix(sequence);
  const uint32_t n_found = kv->n_tokens();
  const uint32_t n_missing = static_cast<uint32_t>(sequence.tokens.size()) - n_found;
  if (!Provide(kv->BlocksToAppend(n_missing), &sequence) ||
      kv->Append(n_missing, n_found) != kv::AppendOutcome::kAppended) {
    return false;
  }
  if (tree_ != nullptr) {
    tree_->Start(sequence.prefix, sequence.tokens, *kv, n_found, now_us_, !sequence.started);
  }
  sequence.kv = std::move(kv);
  sequence.n_computed = n_found;
  if (!sequence.started) {
    sequence.started = now;
    sequence.n_reused = n_found;
    ++totals_.prefix_lookups;
    totals_.prefix_hits += n_found > 0 ? 1U : 0U;
    totals_.prompt_tokens += sequence.n_prompt();
    totals_.prompt_tokens_reused += n_found;
  }
  InsertById(running_, TakeFrom(waiting_, sequence));
  sequence.sink->OnPrompt(std::min(n_found, sequence.n_prompt()), sequence.n_prompt());
  return true;
}

bool Batcher::Provide(uint64_t n_blocks, const Sequence* for_whom) {
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
    if (!grown && (tree_ == nullptr || !tree_->Evict()) && !UnprotectWaiting(for_whom)) {
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
