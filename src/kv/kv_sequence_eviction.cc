// What of a sequence goes, and how: the part of KvSequence that policies decide.
#include <algorithm>
#include <utility>

#include "base/invariant.h"
#include "kv/kv_sequence.h"

namespace plimsoll::kv {

bool KvSequence::Evict(uint32_t n_blocks) {
  switch (eviction_->kind()) {
    case policy::PolicyKind::kFull:
      break;
    case policy::PolicyKind::kWindow: {
      const uint32_t first = n_sinks();
      DropBlocks([&](uint32_t i) { return i >= first && i < first + n_blocks; });
      if (is_compact()) {
        MoveBehindSinks(n_blocks * kBlockTokens);
      }
      break;
    }
    case policy::PolicyKind::kBlock: {
      block_scores_->Clear(blocks_.size());
      scorer_->Score(*this, [this](size_t /*layer*/, std::span<const float> scores) {
        block_scores_->AddLayer(scores);
      });
      const auto lowest = block_scores_->Lowest(n_blocks);
      DropBlocks([&](uint32_t i) { return std::ranges::binary_search(lowest, i); });
      break;
    }
    case policy::PolicyKind::kSnap:
    case policy::PolicyKind::kEpisode:
      return GatherSlots(n_blocks);
    case policy::PolicyKind::kArkv:
      return QuantizeSome(n_blocks);
  }
  return true;
}

void KvSequence::MergeScores() {
  const std::span<float> merged = scorer_->merged_scores();
  const size_t n_all = positions_.size();
  const size_t n_slots = n_all - kBlockTokens;
  size_t at = 0;
  scorer_->Score(*this, [&](size_t /*layer*/, std::span<const float> scores) {
    for (; !scores.empty(); scores = scores.subspan(n_all), at += n_slots) {
      // A model's NaN is above nothing.
      const auto of_head = merged.subspan(at, n_slots);
      std::ranges::transform(of_head, scores.first(n_slots), of_head.begin(),
                             [](float a, float b) { return std::max(a, b); });
    }
  });
}

bool KvSequence::WantsLook(uint32_t n) const {
  return eviction_ && eviction_->kind() == policy::PolicyKind::kEpisode && !is_looked_at_ &&
         DroppedOf(n_tokens() + n) > n_dropped_;
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
    if (!is_looked_at_) {
      std::ranges::fill(scorer_->merged_scores(), 0.0F);
    }
    MergeScores();
  }
  is_looked_at_ = is_computed;
  positions_.resize(positions_.size() - kBlockTokens);
  DropBlocksFrom(blocks_.size() - 1);
}

bool KvSequence::GatherSlots(uint32_t n_gone) {
  const auto n_kept = static_cast<uint32_t>(blocks_.size()) - 2 - n_gone;
  for (uint32_t i = 1; i <= n_kept; ++i) {
    if (!pool_.IsWritableFrom(blocks_[i], 0) && !Unshare(i)) {
      return false;
    }
  }
  if (std::exchange(is_looked_at_, false)) {
    std::span<const float> merged = scorer_->merged_scores();
    for (size_t i = 0; i < layout().n_layers(); ++i) {
      const size_t n = layout().layer(i).n_kv_heads * positions_.size();
      gatherer_->Gather(*this, i, merged.first(n), n_kept);
      merged = merged.subspan(n);
    }
  } else {
    scorer_->Score(*this, [&](size_t layer_idx, std::span<const float> scores) {
      gatherer_->Gather(*this, layer_idx, scores, n_kept);
    });
  }
  DropBlocks([&](uint32_t i) { return i > n_kept && i <= n_kept + n_gone; });
  return true;
}

bool KvSequence::QuantizeSome(uint32_t n_gone) {
  block_scores_->Clear(blocks_.size());
  choice_->Clear();
  scorer_->ScoreAndWeigh(*this, [this](size_t layer, std::span<const float> scores, float weight) {
    block_scores_->AddLayer(scores);
    choice_->AddLayer(layer, block_scores_->layer(), weight);
  });
  const auto gone = block_scores_->Lowest(n_gone);
  const size_t n_kept = layout().n_quantized_layers() * (eviction_->n_kept_originals() - 1);
  const auto chosen = choice_->ToQuantize(*originals_, blocks_.size(), gone, n_kept);
  for (const policy::LayerBlock& one : chosen) {
    if (!pool_.IsWritableFrom(blocks_[one.block], 0) && !Unshare(one.block)) {
      return false;
    }
  }
  scorer_->Quantize(*this, chosen);
  for (const policy::LayerBlock& one : chosen) {
    originals_->Remove(one.layer_idx, one.block);
  }
  DropBlocks([&](uint32_t i) { return std::ranges::binary_search(gone, i); });
  return true;
}

uint64_t KvSequence::BlocksToRewrite(uint32_t n) const {
  if ((!gatherer_ && !originals_) || RoundsOf(n_tokens() + n) == n_rounds_) {
    return 0;
  }
  const uint32_t n_gone = (DroppedOf(n_tokens() + n) - n_dropped_) / kBlockTokens;
  // What is gathered lies behind the first block; what is quantized can be any but that.
  const size_t end = originals_ ? blocks_.size() : blocks_.size() - 1 - n_gone;
  uint64_t n_shared = 0;
  for (size_t i = 1; i < end; ++i) {
    n_shared += pool_.IsWritableFrom(blocks_[i], 0) ? 0U : 1U;
  }
  return n_shared;
}

template <class Goes>
void KvSequence::DropBlocks(const Goes& goes) {
  const uint32_t old_open_idx = std::exchange(open_idx_, kNoBlock);
  uint32_t n_left = 0;
  for (uint32_t i = 0; i < blocks_.size(); ++i) {
    if (goes(i)) {
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
