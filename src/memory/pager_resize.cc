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

// Their pages go to free frames elsewhere, or to those of the pages that the policy gives up for
// them; it may give up these pages themselves.
void Pager::EmptyFrames(uint32_t page_class, const FrameArena::FrameRange& frames) {
  PageClass& own = classes_[page_class];
  FrameArena& arena = *own.arena;
  for (uint32_t i = 0; i < pages_.size(); ++i) {
    Page& page = pages_[i];
    while (homes_.class_of[i] == page_class && page.state == PageState::kResident &&
           frames.Contains({page.frame})) {
      if (const auto to = arena.Take(frames)) {
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
      const FrameArena::FrameRange frames = arena.Cheapest(arena.n_frames() - n_frames);
      EmptyFrames(page_class, frames);
      ForgetBuffer(own, arena.ChunkOf({frames.first}));
      arena.Release(frames);
    }
  }
  arena.Grow(n_frames);
  own.buffers.resize(arena.n_chunks(), io::kNoReadBuffer);
  policy_->SetCapacity(TotalFrames());
  return {};
}

}  // namespace plimsoll::memory
