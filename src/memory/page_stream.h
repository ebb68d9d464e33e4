// Pages that are used one after another in a circle, and do not all fit: dense weights.
//
// In a circle the page that was used last is the one that is needed latest, so what is kept is
// fixed: some of the pages have memory of their own and stay, evenly spread over the circle, and
// the others stream through a ring, each read ahead of its use while those before it are worked on.
// Every policy by recency would read them all (docs/paging.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "io/reader.h"
#include "memory/buffer.h"
#include "memory/ledger.h"
#include "memory/page_ring.h"
#include "memory/pager.h"

namespace plimsoll::memory {

struct PageStreamOptions {
  Account account = Account::kWeights;
  // At least twice what is used at once: then it fits beside whatever was read ahead.
  uint64_t ring_bytes = 0;
  // A wait in which nothing at all arrives ends with an error after this.
  std::chrono::nanoseconds stall_bound = std::chrono::seconds(30);
};

struct PageStreamStats {
  uint64_t used = 0;        // pages
  uint64_t bytes_used = 0;  // of these
  uint64_t bytes_read = 0;  // the ring's and, once, those that are kept
  uint64_t failures = 0;    // pages whose read failed
  uint64_t seeks = 0;       // uses that were not the next in the circle
  std::chrono::nanoseconds waited{};
};

// Of pages that take `frame_bytes`, those to keep in so many bytes: evenly spread, and then what
// else fits, from the first on.
[[nodiscard]] std::vector<bool> ChooseKept(std::span<const uint64_t> frame_bytes, uint64_t bytes);

// Not thread-safe: one owner. Allocates when it is made or Keep is called and never in between.
class PageStream {
 public:
  // `pages` in the order of their use; `reader` has their files. Nothing is read before the first
  // use. kDoesNotFit when the ledger, which outlives this, has no room for the ring.
  [[nodiscard]] static Result<std::unique_ptr<PageStream>> Create(
      Ledger& ledger, std::unique_ptr<io::Reader> reader, std::span<const PagePart> pages,
      const PageStreamOptions& options);
  PageStream(const PageStream&) = delete;
  PageStream& operator=(const PageStream&) = delete;
  ~PageStream();

  // What a page takes, kept or in the ring.
  [[nodiscard]] static uint64_t FrameBytes(uint64_t page_bytes) {
    return PartFrameBytes(page_bytes);
  }
  // What its tables take of the line, of the account `index`.
  [[nodiscard]] static uint64_t TableBytes(uint32_t n_pages);

  // Keeps as many pages as fit into so many bytes (ChooseKept); others that were kept are
  // forgotten. Between uses. kDoesNotFit when the ledger has less: then none is kept.
  [[nodiscard]] Result<> Keep(uint64_t bytes);

  // From now on pages [begin, end) are used in a circle: what is read ahead.
  void SetCircle(uint32_t begin, uint32_t end);

  // Waits until all of them are there; they stay until the next Use or Release. In the order of the
  // circle, which costs the least. kIo, with the file and the cause, when a read failed or nothing
  // arrives any more.
  [[nodiscard]] Result<> Use(std::span<const uint32_t> pages);
  // None is in use any more; goes on reading ahead.
  void Release();

  // Of a page in use: its bytes.
  [[nodiscard]] const std::byte* Data(uint32_t page) const;

  [[nodiscard]] uint32_t n_pages() const { return static_cast<uint32_t>(pages_.size()); }
  [[nodiscard]] uint64_t kept_bytes() const { return kept_bytes_; }  // as they take
  [[nodiscard]] const PageStreamStats& stats() const { return stats_; }
  [[nodiscard]] const io::ReaderStats& reader_stats() const { return reader_->stats(); }

 private:
  enum class PageState : uint8_t { kAbsent, kReading, kThere };

  struct Page {
    PagePart home;
    PageState state = PageState::kAbsent;
    bool in_use = false;
    bool kept = false;
    Buffer memory;                // of a page that is kept
    PageRing::PlaceId place = 0;  // of another one that is not absent
    io::ReadId read;              // under way
    std::optional<Error> error;   // of the last read, until the page is used
  };

  PageStream(Ledger& ledger, std::unique_ptr<io::Reader> reader, std::span<const PagePart> pages,
             const PageStreamOptions& options);

  [[nodiscard]] uint32_t After(uint32_t page) const {
    return page + 1 == circle_end_ ? circle_begin_ : page + 1;
  }
  [[nodiscard]] std::byte* FrameOf(const Page& page) const;
  void Hold(uint32_t page);
  void LetGo();
  [[nodiscard]] bool BeginHeld();
  void BeginAhead();
  [[nodiscard]] bool BeginRead(uint32_t page);
  [[nodiscard]] Result<bool> AreHeldThere();
  void ForgetAhead();
  void Forget(Page& page);
  void OnCompletion(const io::ReadCompletion& completion);
  [[nodiscard]] Result<> WaitForAny();
  [[nodiscard]] Result<> Drain();
  [[nodiscard]] Result<> KeepMore(uint64_t bytes);
  void KeepLess(uint64_t bytes);

  static constexpr uint32_t kNoPage = UINT32_MAX;

  Ledger& ledger_;
  PageStreamOptions options_;
  Reservation tables_;
  std::vector<Page> pages_;
  Buffer ring_memory_;
  io::ReadBufferId ring_buffer_ = io::kNoReadBuffer;  // the same, as the reader knows it
  PageRing ring_;
  std::vector<uint32_t> page_of_place_;  // kNoPage: it was forgotten while it was being read
  std::vector<uint32_t> in_use_;
  // Of the circle: what is expected to be used next, and from there on those that were begun.
  uint32_t circle_begin_ = 0;
  uint32_t circle_end_;
  uint32_t position_ = 0;
  uint32_t n_ahead_ = 0;
  uint32_t next_ = 0;  // to be begun
  uint64_t kept_bytes_ = 0;
  std::vector<io::ReadCompletion> completions_;
  PageStreamStats stats_;
  // Last, so that it goes first: the kernel writes to frames until it has.
  std::unique_ptr<io::Reader> reader_;
};

}  // namespace plimsoll::memory
