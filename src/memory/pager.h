// Pages of a model that share fewer frames than there are pages.
//
// A page is read from its home in the model's files straight into a frame, stays there while the
// policy thinks it worth a frame, and is dropped without being written, for it never changes. The
// owner wants the pages of one layer at a time, works on those that are there while the others are
// being read, and takes these as they come: docs/paging.md.
//
//   absent -> reading -> resident -> absent
//
// A page is pinned from the moment at which a round wants it until the round has worked on it. A
// pinned page and one that is being read keep their frames.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/reader.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/policy/policy.h"
#include "memory/policy/use_counts.h"

namespace plimsoll::memory {

using policy::PageId;
using policy::Phase;

// Bytes of a page that lie together in a file.
struct PagePart {
  io::ReadFileId file;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

// Kernels may read so many bytes behind a part.
inline constexpr uint64_t kReadableBehind = 64;
// What a part of so many bytes takes of a frame, wherever in its file it lies: whole blocks are
// read.
[[nodiscard]] constexpr uint64_t PartFrameBytes(uint64_t bytes) {
  return io::FrameBytesMax(bytes + kReadableBehind);
}

// Where all pages lie. Pages of one class take frames of one size and compete for them.
struct PageHomes {
  uint32_t n_parts = 1;               // of every page
  std::vector<PagePart> parts;        // [n_pages][n_parts]
  std::vector<uint8_t> class_of;      // [n_pages]
  std::vector<uint64_t> frame_bytes;  // [n_classes], at least FrameBytes of its pages

  [[nodiscard]] uint32_t n_pages() const { return static_cast<uint32_t>(class_of.size()); }
  [[nodiscard]] std::span<const PagePart> PartsOf(PageId page) const {
    return std::span(parts).subspan(size_t{page.value} * n_parts, n_parts);
  }
  // What a frame for these parts needs.
  [[nodiscard]] static uint64_t FrameBytes(std::span<const PagePart> parts);
};

// In which order a round wants to have its pages.
enum class WantOrder : uint8_t {
  kArrival,  // those that are there, then the others as they come
  kGiven,    // as they are listed
};

struct PagerOptions {
  // A wait in which nothing at all arrives ends with an error after this.
  std::chrono::nanoseconds stall_bound = std::chrono::seconds(30);
  // Of a round in the given order: so much is read ahead of the page in use, at least two pages.
  uint64_t read_ahead_bytes = 64 * kMiB;
  // Frames are made ready so far ahead of their first use, on a thread of their own; 0: when they
  // are used.
  uint64_t prepare_ahead_bytes = 0;
  // Looks at a part that has arrived, before the page is used: what is wrong with it, if anything.
  // None: nothing is looked at.
  std::function<std::optional<Error>(PageId, uint32_t part, std::span<const std::byte>)> verify;
  // Calls task(i) for every i below n, on as many threads as it likes, and returns when all are
  // done: parts that arrived together are looked at side by side. None: one after the other.
  std::function<void(size_t n, const std::function<void(size_t)>& task)> side_by_side;
};

struct WantStats {
  uint64_t wanted = 0;  // pages
  uint64_t hits = 0;    // of these, resident
  uint64_t joined = 0;  // of these, being read already
  uint64_t bytes_read = 0;
  std::chrono::nanoseconds waited{};  // with nothing to work on
  [[nodiscard]] uint64_t misses() const { return wanted - hits - joined; }
  // What was added after `before` was taken.
  [[nodiscard]] WantStats Since(const WantStats& before) const {
    return {.wanted = wanted - before.wanted,
            .hits = hits - before.hits,
            .joined = joined - before.joined,
            .bytes_read = bytes_read - before.bytes_read,
            .waited = waited - before.waited};
  }
};

struct PagerStats {
  std::array<WantStats, 2> phases;  // by Phase
  uint64_t evictions = 0;
  uint64_t failures = 0;  // pages whose read failed; not guesses that were dropped
  uint64_t prefetched = 0;
  uint64_t prefetched_bytes = 0;    // of those that were not cancelled
  uint64_t prefetched_used = 0;     // of these, wanted while they were there or on their way
  uint64_t prefetched_dropped = 0;  // of these, evicted or cancelled before anyone wanted them
  [[nodiscard]] const WantStats& of(Phase phase) const {
    return phases[static_cast<size_t>(phase)];
  }
};

class Pager;

// One layer's pages, wanted by one owner. When it goes, what it pinned is free to be evicted; reads
// that are under way end by themselves, and the pages stay.
class PageRound {
 public:
  PageRound(PageRound&& other) noexcept : pager_(other.pager_) { other.pager_ = nullptr; }
  PageRound(const PageRound&) = delete;
  PageRound& operator=(const PageRound&) = delete;
  PageRound& operator=(PageRound&&) = delete;
  ~PageRound();

  // Indices, into the list of pages that were wanted, of some to work on now, ascending; waits
  // until there is one. Those of the call before are no longer in use. Empty: these were all. kIo,
  // with the file and the cause, when a read failed or nothing arrives any more.
  [[nodiscard]] Result<std::span<const uint32_t>> Next();

 private:
  friend class Pager;
  explicit PageRound(Pager& pager) : pager_(&pager) {}

  Pager* pager_;
};

// Not thread-safe: one owner. Allocates when it is made or resized and never in between.
class Pager {
 public:
  // `reader` has the files of `homes`. `n_frames` by class: as many as the line has room for, up to
  // these. kDoesNotFit when a class has not even n_frames_min. The ledger and the layout outlive
  // the pager.
  [[nodiscard]] static Result<std::unique_ptr<Pager>> Create(
      Ledger& ledger, std::unique_ptr<io::Reader> reader, PageHomes homes,
      const policy::PageLayout& layout, std::unique_ptr<policy::Policy> policy,
      std::span<const uint32_t> n_frames, std::span<const uint32_t> n_frames_min,
      PagerOptions options);
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;
  ~Pager();

  // What its tables take of the line beside the frames, of the account `index`.
  [[nodiscard]] static uint64_t TableBytes(uint32_t n_pages, uint32_t n_parts);

  // What the router of a layer said; comes before the layer's pages are wanted.
  void Visit(const policy::LayerVisit& visit) {
    uses_.Visit(visit);
    policy_->Visit(visit);
  }

  // Begins to read what is missing. One round at a time; `pages` are different from one another,
  // at most as many as a layer has, and need not outlive the call.
  [[nodiscard]] PageRound Want(std::span<const PageId> pages, Phase phase, WantOrder order);

  // Guesses that are read when the disk has nothing else to do, the likeliest first. They take
  // frames that are free, or those of pages that the policy would evict for them.
  // Reads at most `most` of them.
  void Prefetch(std::span<const PageId> pages, size_t most = SIZE_MAX);
  // Guesses that no one has wanted and that were not begun are dropped.
  void DropPrefetches();
  // Lets the reads under way make progress; costs next to nothing when there are none. To be called
  // every few milliseconds while there is other work.
  void Poll();

  // Part `part` of a page that a round has given out and not taken back: its bytes, at the
  // alignment that they have in the file.
  [[nodiscard]] const std::byte* Data(PageId page, uint32_t part) const;

  // Makes the frames of a class n, or as many as the line has room for if that is less. Evicts what
  // the policy chooses; pages that stay may move. Between rounds. kDoesNotFit when n is less than
  // the class needs; then nothing changes.
  [[nodiscard]] Result<> Resize(uint32_t page_class, uint32_t n_frames);

  [[nodiscard]] bool IsResident(PageId page) const {
    return pages_[page.value].state == PageState::kResident;
  }
  // Neither there nor on its way.
  [[nodiscard]] bool IsAbsent(PageId page) const {
    return pages_[page.value].state == PageState::kAbsent;
  }
  [[nodiscard]] uint32_t n_classes() const { return static_cast<uint32_t>(classes_.size()); }
  [[nodiscard]] uint32_t n_frames(uint32_t page_class) const {
    return classes_[page_class].arena->n_frames();
  }
  [[nodiscard]] uint32_t n_resident() const { return n_resident_; }
  [[nodiscard]] const PageHomes& homes() const { return homes_; }
  [[nodiscard]] const PagerStats& stats() const { return stats_; }
  [[nodiscard]] const policy::UseCounts& uses() const { return uses_; }
  [[nodiscard]] const io::ReaderStats& reader_stats() const { return reader_->stats(); }
  [[nodiscard]] const io::Reader& reader() const { return *reader_; }
  // Stops the process when its tables contradict one another.
  void CheckInvariants() const;

 private:
  friend class PageRound;

  enum class PageState : uint8_t { kAbsent, kReading, kResident };
  static constexpr uint32_t kNoFrame = UINT32_MAX;

  struct Page {
    PageState state = PageState::kAbsent;
    bool pinned = false;
    bool guessed = false;      // prefetched, and no one has wanted it yet
    bool failed = false;       // a part of the read under way
    bool cancelled = false;    // the same
    uint8_t n_parts_left = 0;  // of the read under way
    uint32_t frame = kNoFrame;
  };
  struct PageClass {
    std::unique_ptr<FrameArena> arena;
    uint32_t n_frames_min = 0;
    std::vector<uint64_t> evictable;  // one bit a page: resident, of this class and not pinned
    std::vector<io::ReadBufferId> buffers;  // by chunk, as the reader knows it
  };
  // How far a round is with one of its pages; a hit was there when it was wanted.
  enum class Wish : uint8_t { kWaiting, kReading, kArrived, kHit, kGiven };
  struct Round {
    bool open = false;
    WantOrder order = WantOrder::kArrival;
    Phase phase = Phase::kDecode;
    size_t n = 0;
    size_t n_given = 0;
    size_t first_left = 0;        // all before it were given out
    std::vector<PageId> pages;    // [most pages of a layer], of which n
    std::vector<Wish> wishes;     // the same
    std::vector<bool> joined;     // the same: counted as such
    std::vector<uint32_t> given;  // by the last Next
    std::optional<Error> error;
  };

  Pager(Ledger& ledger, std::unique_ptr<io::Reader> reader, PageHomes homes,
        const policy::PageLayout& layout, std::unique_ptr<policy::Policy> policy,
        PagerOptions options);

  [[nodiscard]] PageClass& ClassOf(PageId page) { return classes_[homes_.class_of[page.value]]; }
  void SetEvictable(PageId page, bool evictable);
  void Pin(PageId page);
  void Unpin(PageId page);
  // Of the page's frame, each part from a multiple of the I/O alignment on.
  [[nodiscard]] uint64_t PartOffset(PageId page, uint32_t part) const;
  // Of a page that has a frame.
  [[nodiscard]] const std::byte* PartData(PageId page, uint32_t part) const;

  [[nodiscard]] std::optional<FrameId> FrameFor(PageId page);
  // Of the frame's chunk, made known to the reader when all of it is there.
  [[nodiscard]] io::ReadBufferId BufferOf(PageClass& page_class, FrameId frame);
  void ForgetBuffer(PageClass& page_class, uint32_t chunk);
  [[nodiscard]] bool BeginRead(PageId page, io::ReadClass read_class);
  void Promote(PageId page, io::ReadClass read_class);
  // What a read was for.
  struct ReadPart {
    PageId page;
    uint32_t part = 0;
  };
  [[nodiscard]] ReadPart PartOf(const io::ReadCompletion& completion) const;
  // The first n of completions_.
  void OnCompletions(size_t n);
  [[nodiscard]] std::optional<Error> Verify(const io::ReadCompletion& completion) const;
  void OnCompletion(const io::ReadCompletion& completion, std::optional<Error> damage);
  void OnPageRead(PageId page);
  [[nodiscard]] uint64_t BytesOf(PageId page) const;
  // Of a page that is not pinned: it loses its frame.
  void Drop(PageId page);

  [[nodiscard]] Wish WantPage(size_t index);
  // A page that was there or on its way is not, and is a miss after all.
  void WantAgain(size_t index);
  void BeginMissing();
  // Whether so much read ahead of the page in use is enough.
  [[nodiscard]] bool IsFarEnough(size_t n_pages, uint64_t bytes) const;
  [[nodiscard]] bool GiveUpLast();
  void TakeBackGiven();
  void CloseRound();
  [[nodiscard]] Result<std::span<const uint32_t>> NextOfRound();
  void GatherReady();
  [[nodiscard]] Result<> WaitForAny();
  [[nodiscard]] io::ReadClass ClassOfRound() const;
  WantStats& StatsOfRound() { return stats_.phases[static_cast<size_t>(round_.phase)]; }

  [[nodiscard]] uint32_t TotalFrames() const;
  void EmptyFrames(uint32_t page_class, const FrameArena::FrameRange& frames);
  [[nodiscard]] bool Evict(PageClass& page_class, std::optional<PageId> incoming);
  [[nodiscard]] Result<> Drain();

  PageHomes homes_;
  PagerOptions options_;
  Reservation tables_;
  std::unique_ptr<policy::Policy> policy_;
  policy::UseCounts uses_;
  std::vector<PageClass> classes_;
  std::vector<Page> pages_;
  std::vector<io::ReadId> reads_;  // [n_pages][n_parts], of reads under way
  std::vector<uint32_t> guesses_;  // pages that are being read on a guess
  std::vector<io::ReadCompletion> completions_;
  std::vector<std::optional<Error>> damages_;  // [completions_], what is wrong with the bytes
  std::function<void(size_t)> verify_one_;     // of completions_
  Round round_;
  bool registers_ = true;  // the reader takes buffers
  uint32_t n_resident_ = 0;
  PagerStats stats_;
  // Last, so that it goes first: the kernel writes to frames until it has.
  std::unique_ptr<io::Reader> reader_;
};

}  // namespace plimsoll::memory
