#include "memory/arena.h"

#include <algorithm>

#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::memory {
namespace {

constexpr uint64_t kTouchStep = 4096;  // where there are no huge pages

uint32_t FramesPerChunk(uint64_t frame_bytes) {
  return static_cast<uint32_t>(std::max<uint64_t>(1, kChunkBytes / frame_bytes));
}

}  // namespace

FrameArena::FrameArena(Ledger& ledger, Account account, uint64_t frame_bytes, uint32_t n_frames_max)
    : ledger_(ledger),
      account_(account),
      frame_bytes_(frame_bytes),
      frames_per_chunk_(FramesPerChunk(frame_bytes)),
      // A chunk that had to be smaller than others keeps its size: leave room for such.
      chunks_(2 * CeilDiv(n_frames_max, frames_per_chunk_) + 1) {
  free_.reserve(n_frames_max);
}

bool FrameArena::AddChunk(uint32_t n_frames) {
  auto chunk = std::ranges::find_if(
      chunks_, [](const Chunk& candidate) { return candidate.memory.size() == 0; });
  if (chunk == chunks_.end()) {  // it grew in small steps
    chunk = chunks_.insert(chunks_.end(), Chunk());
  }
  auto memory = Buffer::Allocate(ledger_, account_, n_frames * frame_bytes_, "frames");
  if (!memory) {
    return false;
  }
  chunk->memory = std::move(*memory);
  chunk->n_frames = n_frames;
  const auto first = static_cast<uint32_t>(chunk - chunks_.begin()) * frames_per_chunk_;
  for (uint32_t i = n_frames; i-- > 0;) {
    free_.push_back({first + i});
  }
  n_frames_ += n_frames;
  return true;
}

void FrameArena::Grow(uint32_t n_frames) {
  prefault_.reset();
  while (n_frames_ < n_frames) {
    const uint64_t fitting = ledger_.available_bytes(account_) / frame_bytes_;
    const auto n = static_cast<uint32_t>(
        std::min<uint64_t>({n_frames - n_frames_, frames_per_chunk_, fitting}));
    if (n == 0 || !AddChunk(n)) {
      return;
    }
  }
}

FrameArena::FrameRange FrameArena::Cheapest(uint32_t n) const {
  const Chunk* emptiest = nullptr;
  for (const Chunk& chunk : chunks_) {
    if (chunk.n_frames != 0 && (emptiest == nullptr || chunk.n_used < emptiest->n_used)) {
      emptiest = &chunk;
    }
  }
  Invariant(emptiest != nullptr, "an arena gives back frames that it has");
  n = std::min(n, emptiest->n_frames);
  const auto chunk_idx = static_cast<uint32_t>(emptiest - chunks_.data());
  return {chunk_idx * frames_per_chunk_ + emptiest->n_frames - n, n};
}

// In the order in which Take gives them out.
void FrameArena::Prepare(uint64_t ahead_bytes) {
  std::vector<std::span<std::byte>> ranges;
  for (size_t i = chunks_.size(); i-- > 0;) {
    const Chunk& chunk = chunks_[i];
    if (chunk.n_touched < chunk.n_frames) {
      ranges.push_back(chunk.memory.span().subspan(chunk.n_touched * frame_bytes_));
    }
  }
  n_prepared_used_ = 0;
  prefault_ = std::make_unique<Prefault>(std::move(ranges), ahead_bytes);
}

void FrameArena::Release(const FrameRange& frames) {
  prefault_.reset();
  const size_t n_free = free_.size();
  std::erase_if(free_, [&](FrameId frame) { return frames.Contains(frame); });
  Invariant(n_free - free_.size() == frames.n, "a frame in use is not given back");
  Chunk& chunk = chunks_[ChunkOf({frames.first})];
  chunk.n_frames -= frames.n;
  chunk.n_touched = std::min(chunk.n_touched, chunk.n_frames);
  chunk.memory.Truncate(chunk.n_frames * frame_bytes_);
  n_frames_ -= frames.n;
}

std::optional<FrameId> FrameArena::Take(const FrameRange& except) {
  for (size_t i = free_.size(); i-- > 0;) {
    const FrameId frame = free_[i];
    if (except.Contains(frame)) {
      continue;
    }
    free_[i] = free_.back();
    free_.pop_back();
    ++chunks_[ChunkOf(frame)].n_used;
    Touch(frame);
    return frame;
  }
  return std::nullopt;
}

// The kernel gives huge pages to memory that is written to, and small ones to memory that a device
// reads into: that would cost a scattered read ever after.
void FrameArena::Touch(FrameId frame) {
  Chunk& chunk = chunks_[ChunkOf(frame)];
  const uint32_t last = frame.value % frames_per_chunk_;
  if (last < chunk.n_touched) {
    return;
  }
  std::byte* const memory = chunk.memory.data();
  const uint64_t end = (last + 1) * frame_bytes_;
  for (uint64_t at = chunk.n_touched * frame_bytes_; at < end; at += kTouchStep) {
    memory[at] = std::byte{0};
  }
  if (prefault_ != nullptr) {
    n_prepared_used_ += last + 1 - chunk.n_touched;
    prefault_->Use(n_prepared_used_ * frame_bytes_);
  }
  chunk.n_touched = last + 1;
}

void FrameArena::Return(FrameId frame) {
  --chunks_[ChunkOf(frame)].n_used;
  free_.push_back(frame);
}

}  // namespace plimsoll::memory
