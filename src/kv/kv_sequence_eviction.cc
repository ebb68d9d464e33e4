// How room is made in a sequence: what goes, its policy decides.
#include <algorithm>
#include <utility>

#include "base/invariant.h"
#include "kv/kv_sequence.h"

namespace plimsoll::kv {

bool KvSequence::MakeRoom(uint32_t n_blocks) {
  choice_.gone.clear();
  choice_.rewritten.clear();
  policy_->Choose(*this, n_blocks, choice_);
  for (const uint32_t block : choice_.rewritten) {
    if (!pool_.IsWritableFrom(blocks_[block], 0) && !Unshare(block)) {
      return false;
    }
  }
  policy_->Rewrite(*this, choice_);
  DropBlocks(choice_.gone);
  if (is_compact()) {
    MoveBehindSinks(n_blocks * kBlockTokens);
  }
  return true;
}

bool KvSequence::BeginLook() {
  if (!OwnOpenBlocks()) {
    return false;
  }
  const BlockId block = open_blocks_.back();
  pool_.AddReference(block);
  PushBlock(block);
  const uint32_t first_position = n_tokens();
  for (uint32_t i = 0; i < kBlockTokens; ++i) {
    positions_.push_back(first_position + i);
  }
  return true;
}

void KvSequence::EndLook(bool is_computed) {
  if (is_computed) {
    policy_->Look(*this);
  } else {
    policy_->ForgetLooks();
  }
  positions_.resize(positions_.size() - kBlockTokens);
  DropBlocksFrom(blocks_.size() - 1);
}

uint64_t KvSequence::BlocksToRewrite(uint32_t n) const {
  if (RoundsOf(n_tokens() + n) == n_rounds_) {
    return 0;
  }
  const uint32_t n_gone = (DroppedOf(n_tokens() + n) - n_dropped_) / kBlockTokens;
  const auto [first, end] = policy_->MayRewrite(blocks_.size(), n_gone);
  uint64_t n_shared = 0;
  for (size_t i = first; i < end; ++i) {
    n_shared += pool_.IsWritableFrom(blocks_[i], 0) ? 0U : 1U;
  }
  return n_shared;
}

void KvSequence::DropBlocks(std::span<const uint32_t> gone) {
  const uint32_t old_open_idx = std::exchange(open_idx_, kNoBlock);
  uint32_t n_left = 0;
  for (uint32_t i = 0; i < blocks_.size(); ++i) {
    if (!gone.empty() && gone.front() == i) {
      gone = gone.subspan(1);
      pool_.DropReference(blocks_[i]);
      n_dropped_ += kBlockTokens;
      if (originals_) {
        originals_->RemoveBlock(i);
      }
      continue;
    }
    if (i == old_open_idx) {
      open_idx_ = n_left;
    }
    if (i != n_left) {
      blocks_[n_left] = blocks_[i];
      block_table_[n_left] = block_table_[i];
      if (originals_) {
        originals_->MoveBlock(i, n_left);
      }
      std::copy_n(positions_.data() + size_t{i} * kBlockTokens, kBlockTokens,
                  positions_.data() + size_t{n_left} * kBlockTokens);
    }
    ++n_left;
  }
  blocks_.resize(n_left);
  block_table_.resize(n_left);
  positions_.resize(size_t{n_left} * kBlockTokens);
}

void KvSequence::MoveBehindSinks(uint32_t distance) {
  Invariant(!moved_, "keys are turned before they move again");
  std::ranges::for_each(std::span(positions_).subspan(n_sink_tokens()),
                        [distance](uint32_t& position) { position -= distance; });
  moved_ = {.first = n_sink_tokens(),
            .end = static_cast<uint32_t>(positions_.size()),
            .distance = -int64_t{distance}};
}

std::optional<KvSequence::Moved> KvSequence::TakeMoved() {
  return std::exchange(moved_, std::nullopt);
}

uint64_t KvSequence::SharedBlocksBehind(size_t n_gone) const {
  const size_t first = n_sinks() + n_gone;
  uint64_t n = 0;
  for (size_t i = first; i < blocks_.size(); ++i) {
    n += pool_.IsWritableFrom(blocks_[i], 0) ? 0U : 1U;
  }
  return n;
}

bool KvSequence::UnshareMovedBlocks() {
  for (size_t i = n_sinks(); moved_ && i < BlockPool::BlocksFor(moved_->end); ++i) {
    if (!pool_.IsWritableFrom(blocks_[i], 0) && !Unshare(i)) {
      return false;
    }
  }
  return true;
}

}  // namespace plimsoll::kv
