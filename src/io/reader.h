// Asynchronous reads of ranges of files, straight into the memory that uses them.
//
// One reader is one queue to one device: requests wait by class, are cut into segments, and a
// bounded number of segments is under way at a time. Which backend moves the bytes (io_uring, a
// pool of threads, a fake disk) makes no difference to what is promised here:
//
//   - A request that was accepted gets exactly one completion, whatever happens to it. Until then
//     its frame belongs to the reader, also after Cancel.
//   - kDone means that every wanted byte is there and that the file was, after they were read,
//     still what it was when it was opened.
//   - Interrupted, short and refused reads go on where they stopped. A read error is tried again
//     kErrorRetries times (read_retries.h), later each time; then that request alone fails.
//   - No call blocks, but Wait, which has a bound.
//   - After construction, AddFile and RegisterBuffer, nothing is allocated.
//
// An expert whose matrices lie apart is one request each (the pager knows which of them it can
// begin with), Submit only queues them, and Issue hands all of them to the kernel at once.
//
// Thread-compatible: one owner at a time calls it. With io_uring the owner must call Issue, Poll or
// Wait now and then while more is queued than may be under way.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/aligned_range.h"
#include "io/file.h"
#include "io/read_backend.h"
#include "io/read_retries.h"
#include "io/read_trouble.h"
#include "io/traffic.h"

namespace plimsoll::io {

// In order of priority: while a segment of one class waits, none of a later class is begun.
enum class ReadClass : uint8_t {
  kDemand,      // a token waits for it
  kPrefill,     // a prompt's stream through the layers
  kRestore,     // a sequence that comes back
  kPrefetch,    // a guess
  kBackground,  // verification, packing
};
inline constexpr size_t kNReadClasses = 5;
[[nodiscard]] std::string_view ReadClassName(ReadClass read_class);

using ReadFileId = Id<struct ReadFileTag>;
using ReadBufferId = Id<struct ReadBufferTag>;
using ReadId = Id<struct ReadTag, uint64_t>;  // unique in the life of a reader

inline constexpr ReadBufferId kNoReadBuffer{UINT32_MAX};

struct ReadRequest {
  ReadFileId file;
  uint64_t offset = 0;  // of the File, which may be a window
  uint64_t bytes = 0;   // at least 1
  // Aligned to kIoAlignment and as long as Reader::RangeOf says. The data begins at its
  // data_offset.
  std::span<std::byte> frame;
  ReadBufferId buffer = kNoReadBuffer;  // the registered buffer that the frame lies in
  ReadClass read_class = ReadClass::kDemand;
  uint64_t tag = 0;  // the owner's; comes back with the completion
};

enum class ReadOutcome : uint8_t {
  kDone,
  kCancelled,    // the frame holds anything
  kFailed,       // a read error that stayed
  kFileChanged,  // cut short, or written to since it was opened
};

struct ReadCompletion {
  ReadId id;
  uint64_t tag = 0;
  ReadOutcome outcome = ReadOutcome::kDone;
  ReadFileId file;
  FileChange change = FileChange::kNone;  // with kFileChanged
  int error_number = 0;                   // errno, with kFailed
  uint64_t error_offset = 0;              // of the File, with kFailed
  std::chrono::nanoseconds latency{};     // since Submit
};

struct ReaderOptions {
  uint32_t n_requests_max = 1024;  // accepted and not yet completed
  // What a request is cut into, so that one large request keeps the device busy and a demand read
  // never waits for more than what is under way. A multiple of kIoAlignment.
  uint64_t segment_bytes = 1 << 20;
  // A class begins a segment only while fewer segments and bytes than these are under way of it and
  // of the classes before it. The segments of the first class are the depth of the queue. All at
  // least 1.
  //
  // A device shares its bandwidth among what it has: of large pages that are all under way the
  // first arrives no sooner than the last. So a token's demands go few at a time; a stream goes
  // deeper, because its owner computes for longer between two looks at the reader.
  std::array<uint32_t, kNReadClasses> segments_in_flight_max = {64, 32, 16, 4, 1};
  std::array<uint64_t, kNReadClasses> bytes_in_flight_max = {8 << 20, 32 << 20, 8 << 20, 2 << 20,
                                                             1 << 20};
  // Told of what is under way of the first two classes; outlives the reader. Null: nobody is.
  Traffic* traffic = nullptr;
  // Told of reads that failed for good; outlives the reader. Null: nobody is.
  ReadTrouble* trouble = nullptr;
};

// What the tables of a reader with these options take, at the most.
inline constexpr uint64_t kReaderTableBytes = 512 << 10;

struct ReadClassStats {
  uint64_t requests_done = 0;
  uint64_t requests_failed = 0;  // kFailed and kFileChanged
  uint64_t requests_cancelled = 0;
  uint64_t bytes_wanted = 0;  // of those done
  uint64_t bytes_read = 0;    // with what alignment adds and with what was cancelled
};

struct ReaderStats {
  std::array<ReadClassStats, kNReadClasses> classes;
  uint64_t segments = 0;  // reads that were begun, without repetitions
  uint64_t short_reads = 0;
  uint64_t interruptions = 0;
  uint64_t error_retries = 0;
  // Time with anything under way, as the owner sees it: from Issue until it learns of the end.
  std::chrono::nanoseconds busy{};
};

class Reader {
 public:
  Reader(std::unique_ptr<ReadBackend> backend, const ReaderOptions& options);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  // Waits for what is under way: the kernel may still write to the frames.
  ~Reader();

  // The reader keeps the file open. kIo when the system has no descriptors left.
  [[nodiscard]] Result<ReadFileId> AddFile(std::shared_ptr<const File> file);
  // Tells the kernel of memory that many requests will use, which saves work on each of them; all
  // of it becomes resident and locked. Nothing where the backend has no use for it or the limit
  // (RLIMIT_MEMLOCK) is reached: requests then name no buffer.
  [[nodiscard]] std::optional<ReadBufferId> RegisterBuffer(std::span<std::byte> memory);
  // Before the memory is given back; no request in it may be under way.
  void UnregisterBuffer(ReadBufferId buffer);

  // What a frame for this range of a file needs, and where in it the data will be.
  [[nodiscard]] AlignedRange RangeOf(ReadFileId file, uint64_t offset, uint64_t bytes) const;

  // Queues the request; nothing when n_requests_max are waiting or under way. A range that is not
  // in the file is accepted and fails (ERANGE).
  [[nodiscard]] std::optional<ReadId> Submit(const ReadRequest& request);
  // Begins as many segments as the limits allow.
  void Issue();
  // Whatever of it has not begun never will. It completes as kCancelled, or as what it became if it
  // had ended before; of a request that is already over nothing happens.
  void Cancel(ReadId id);

  // A guess that turned out to be wanted: what has not begun of it goes to the end of this class's
  // queue. Nothing happens to a request that is over, all under way, or of a class as early.
  void Promote(ReadId id, ReadClass read_class);

  // The completions so far, oldest first, at most completions.size(). Also issues.
  size_t Poll(std::span<ReadCompletion> completions);
  // The same, but waits until there is at least one, `bound` is over, or nothing is left to wait
  // for.
  size_t Wait(std::span<ReadCompletion> completions, std::chrono::nanoseconds bound);

  // Nothing that is under way has come for kReadOverdue: the place of one counts as one that
  // cannot be read.
  void ReportOverdue();
  // Names the file, the offset and the cause. The completion is not kDone.
  [[nodiscard]] Error Describe(const ReadCompletion& completion) const;

  // Requests that Submit would accept now.
  [[nodiscard]] size_t n_free() const { return requests_.size() - n_outstanding_; }
  // Of the backend's clock, by which all bounds are kept.
  [[nodiscard]] std::chrono::nanoseconds now() const { return backend_->Now(); }
  // Accepted requests whose completion was not yet handed out.
  [[nodiscard]] size_t n_outstanding() const { return n_outstanding_; }
  [[nodiscard]] size_t n_in_flight() const { return n_in_flight_; }  // segments
  [[nodiscard]] const ReaderStats& stats() const { return stats_; }
  [[nodiscard]] std::string_view backend_name() const { return backend_->name(); }
  // False when this file is read through the page cache.
  [[nodiscard]] bool is_direct(ReadFileId file) const { return files_[file.value].direct; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  struct OpenFile {
    std::shared_ptr<const File> file;
    bool direct = false;
  };
  struct Request {
    ReadId id;
    ReadRequest request;
    AlignedRange range;
    std::chrono::nanoseconds submitted{};
    uint64_t issued = 0;      // bytes of the range that were handed out as segments
    uint32_t n_segments = 0;  // under way
    uint32_t next = kNone;    // in its class's queue
    bool queued = false;
    bool in_use = false;
    ReadCompletion completion;
  };
  struct Segment {
    uint32_t request = kNone;
    ReadClass read_class = ReadClass::kDemand;  // when it began
    uint64_t offset = 0;                        // in the request's frame
    uint64_t bytes = 0;
    uint64_t done = 0;
    uint32_t n_errors = 0;
    uint32_t n_interruptions = 0;
    bool paused = false;  // until resume_at
    std::chrono::nanoseconds resume_at{};
    uint32_t next_free = kNone;
  };
  struct Queue {
    uint32_t first = kNone;
    uint32_t last = kNone;
    uint32_t n_in_flight = 0;  // segments
    uint64_t bytes_in_flight = 0;
  };

  // Of a request of which something has not begun; kNone otherwise.
  [[nodiscard]] uint32_t QueuedRequest(ReadId id) const;
  void Enqueue(uint32_t request_idx);
  void Unlink(uint32_t request_idx);
  void BeginSegment(Request& request, uint32_t request_idx);
  void StartRead(uint32_t segment_idx);
  void ResumePaused();
  size_t Reap(std::chrono::nanoseconds wait);
  void OnRead(uint32_t segment_idx, int32_t result);
  void OnBytes(uint32_t segment_idx, uint64_t bytes);
  void OnEnd(uint32_t segment_idx);
  void OnError(uint32_t segment_idx, int error_number);
  void Fail(Request& request, ReadOutcome outcome);
  void EndSegment(uint32_t segment_idx);
  [[nodiscard]] bool IsTraffic(ReadClass read_class) const {
    return options_.traffic != nullptr && read_class <= ReadClass::kPrefill;
  }
  void EndRequest(uint32_t request_idx);
  void ReportTrouble(const ReadCompletion& completion);
  // Bytes of the segment that someone wants, or that lie before such.
  [[nodiscard]] uint64_t Needed(const Segment& segment) const;
  [[nodiscard]] std::chrono::nanoseconds NextResume() const;
  size_t HandOut(std::span<ReadCompletion> completions);

  std::unique_ptr<ReadBackend> backend_;
  ReaderOptions options_;
  std::vector<OpenFile> files_;
  std::vector<Request> requests_;
  std::vector<uint32_t> free_requests_;
  std::vector<Segment> segments_;
  std::vector<uint32_t> free_segments_;
  std::array<Queue, kNReadClasses> queues_;
  std::vector<uint32_t> ended_;  // a ring of request indices whose completion waits
  size_t ended_begin_ = 0;
  size_t n_ended_ = 0;
  std::vector<BackendResult> results_;
  uint64_t n_submitted_ = 0;
  size_t n_outstanding_ = 0;
  uint32_t n_in_flight_ = 0;
  uint32_t n_paused_ = 0;
  std::chrono::nanoseconds busy_since_{};
  ReaderStats stats_;
};

// The best that this system allows: io_uring, or a pool of threads where it is refused; direct I/O,
// or buffered where the file system refuses it.
enum class BackendKind : uint8_t { kBest, kUring, kThreads };
struct BackendOptions {
  BackendKind kind = BackendKind::kBest;
  bool direct = true;
  uint32_t depth = 64;     // segments under way; that of the ReaderOptions or more
  uint32_t n_threads = 4;  // of the pool
};
// kFailed when a kind was asked for by name and the system refuses it.
[[nodiscard]] Result<std::unique_ptr<ReadBackend>> MakeBackend(const BackendOptions& options);
// By a name that a user gives: "best", "io_uring", "threads", and "buffered" or "threads-buffered"
// for the same through the page cache. kUsage lists them.
[[nodiscard]] Result<BackendOptions> BackendNamed(std::string_view name);
// Both with the same depth.
[[nodiscard]] Result<std::unique_ptr<Reader>> MakeReader(const BackendOptions& backend,
                                                         const ReaderOptions& options);

}  // namespace plimsoll::io
