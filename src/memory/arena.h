// Memory for pages of one size: equal frames, carved out of chunks that the ledger granted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "memory/buffer.h"
#include "memory/prefault.h"

namespace plimsoll::memory {

using FrameId = Id<struct FrameTag>;

// What moves between an arena and the ledger at once, as far as the size of a frame allows.
inline constexpr uint64_t kChunkBytes = 32 * kMiB;

// Frames stay where they are until their chunk is given back, which no frame in use allows. Not
// thread-safe. Allocates when it is made, grows or shrinks.
class FrameArena {
 public:
  // Frames are aligned to 4096 bytes; frame_bytes is a multiple of that. n_frames_max: what it may
  // ever grow to.
  FrameArena(Ledger& ledger, Account account, uint64_t frame_bytes, uint32_t n_frames_max);

  // Adds chunks until there are n frames, or fewer when the line has no room for more.
  void Grow(uint32_t n_frames);
  // From now on frames are made ready on a thread of their own, so many bytes ahead of their first
  // use, until the arena grows or shrinks.
  void Prepare(uint64_t ahead_bytes);
  // Frames that follow one another, [first, first + n).
  struct FrameRange {
    uint32_t first = 0;
    uint32_t n = 0;

    [[nodiscard]] bool Contains(FrameId frame) const {
      return frame.value >= first && frame.value - first < n;
    }
  };
  // At most n frames that are the cheapest to give back: the last ones of the chunk with the
  // fewest in use. There is a frame.
  [[nodiscard]] FrameRange Cheapest(uint32_t n) const;
  // Gives the memory of frames that Cheapest named, none of them in use, back to the kernel and to
  // the ledger.
  void Release(const FrameRange& frames);

  // A free frame that is not among `except`. Its bytes are anything.
  [[nodiscard]] std::optional<FrameId> Take(const FrameRange& except);
  [[nodiscard]] std::optional<FrameId> Take() { return Take(FrameRange()); }
  void Return(FrameId frame);

  [[nodiscard]] std::byte* Data(FrameId frame) const {
    return chunks_[ChunkOf(frame)].memory.data() + frame.value % frames_per_chunk_ * frame_bytes_;
  }
  // Which chunk a frame lies in; its memory, and whether all of that was used before.
  [[nodiscard]] uint32_t ChunkOf(FrameId frame) const { return frame.value / frames_per_chunk_; }
  [[nodiscard]] std::span<std::byte> ChunkMemory(uint32_t chunk) const {
    return chunks_[chunk].memory.span();
  }
  [[nodiscard]] bool IsReady(uint32_t chunk) const {
    return chunks_[chunk].n_touched == chunks_[chunk].n_frames;
  }
  [[nodiscard]] uint32_t n_chunks() const { return static_cast<uint32_t>(chunks_.size()); }
  [[nodiscard]] uint64_t frame_bytes() const { return frame_bytes_; }
  [[nodiscard]] uint32_t n_frames() const { return n_frames_; }
  [[nodiscard]] uint32_t n_free() const { return static_cast<uint32_t>(free_.size()); }

 private:
  struct Chunk {
    Buffer memory;          // empty: the chunk is not there
    uint32_t n_frames = 0;  // at most frames_per_chunk_
    uint32_t n_used = 0;
    uint32_t n_touched = 0;  // frames from the first on whose memory is there
  };

  [[nodiscard]] bool AddChunk(uint32_t n_frames);
  void Touch(FrameId frame);

  Ledger& ledger_;
  Account account_;
  uint64_t frame_bytes_;
  uint32_t frames_per_chunk_;
  uint32_t n_frames_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<FrameId> free_;
  std::unique_ptr<Prefault> prefault_;  // last: it ends before the memory goes
  uint64_t n_prepared_used_ = 0;        // frames taken since it began
};

}  // namespace plimsoll::memory
