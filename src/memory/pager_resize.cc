// How many frames a pager has, changed while it lives.
#include <algorithm>

#include "base/bytes.h"
#include "base/invariant.h"
#include "memory/pager.h"

namespace plimsoll::memory {

// Ends the reads that are under way, so that pages can be moved.
Result<> Pager::Drain() {
  DropPrefetches();
  while (reader_->n_outstanding() > 0) {
    if (auto waited = WaitForAny(); !waited) {
      return waited;
    }
  }
  return {};
}

// Its pages go to free frames elsewhere, or to those of the pages that the policy gives up for
// them; it may give up the chunk's own.
void Pager::EmptyChunk(uint32_t page_class, uint32_t chunk) {
  PageClass& own = classes_[page_class];
  FrameArena& arena = *own.arena;
  for (uint32_t i = 0; i < pages_.size() && arena.n_used(chunk) > 0; ++i) {
    Page& page = pages_[i];
    const auto in_chunk = [&] {
      return homes_.class_of[i] == page_class && page.state == PageState::kResident &&
             arena.ChunkOf({page.frame}) == chunk;
    };
    while (in_chunk()) {
      if (const auto to = arena.Take(chunk)) {
        std::copy_n(arena.Data({page.frame}), arena.frame_bytes(), arena.Data(*to));
        arena.Return({page.frame});
        page.frame = to->value;
      } else {
        Invariant(Evict(own, std::nullopt), "between rounds every page may go");
      }
    }
  }
}

Result<> Pager::Resize(uint32_t page_class, uint32_t n_frames) {
  Invariant(!round_.open, "frames are moved between rounds");
  PageClass& own = classes_[page_class];
  FrameArena& arena = *own.arena;
  if (n_frames < own.n_frames_min) {
    return Fail(ErrorKind::kDoesNotFit, "{} frames of {} are fewer than the {} that a token needs",
                n_frames, FormatBytes(arena.frame_bytes()), own.n_frames_min);
  }
  if (auto drained = Drain(); !drained) {
    return drained;
  }
  if (n_frames < arena.n_frames()) {
    policy_->SetCapacity(TotalFrames() - (arena.n_frames() - n_frames));
    while (arena.n_frames() > n_frames) {
      const uint32_t chunk = *arena.EmptiestChunk();
      EmptyChunk(page_class, chunk);
      arena.Release(chunk);
    }
  }
  arena.Grow(n_frames);
  policy_->SetCapacity(TotalFrames());
  return {};
}

}  // namespace plimsoll::memory
