#include "io/uring_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <liburing.h>

#include "base/invariant.h"
#include "io/backend_files.h"

namespace plimsoll::io {
namespace {

using std::chrono::nanoseconds;

constexpr uint32_t kFilesMax = 128;  // in the ring's table; further ones work, unregistered
constexpr uint32_t kBuffersMax = 8192;
// How long to wait when the kernel did not take all that was queued: it lacked something that may
// be there soon.
constexpr nanoseconds kRetryPause = std::chrono::milliseconds(1);

// How long the kernel may take for a request that asks for nothing.
constexpr __kernel_timespec kNothingBound = {.tv_sec = 5, .tv_nsec = 0};

// Some sandboxes let a ring be made and then refuse its use.
Result<> TryRing(io_uring& ring) {
  if ((ring.features & IORING_FEAT_EXT_ARG) == 0) {
    return Fail(ErrorKind::kFailed, "this kernel's io_uring cannot wait with a bound (5.11 can)");
  }
  io_uring_prep_nop(io_uring_get_sqe(&ring));
  if (const int n = io_uring_submit(&ring); n != 1) {
    return Fail(ErrorKind::kFailed, "io_uring_enter: {}", std::strerror(-std::min(n, 0)));
  }
  io_uring_cqe* cqe = nullptr;
  __kernel_timespec bound = kNothingBound;
  if (const int failed = io_uring_wait_cqe_timeout(&ring, &cqe, &bound); failed != 0) {
    return Fail(ErrorKind::kFailed, "io_uring does not answer: {}", std::strerror(-failed));
  }
  io_uring_cqe_seen(&ring, cqe);
  return {};
}

Result<> InitRing(uint32_t depth, io_uring& ring) {
  if (const int failed = io_uring_queue_init(depth, &ring, 0); failed != 0) {
    return Fail(ErrorKind::kFailed, "io_uring_setup: {}", std::strerror(-failed));
  }
  auto tried = TryRing(ring);
  if (!tried) {
    io_uring_queue_exit(&ring);
  }
  return tried;
}

class UringBackend final : public ReadBackend {
 public:
  // Takes over the ring.
  UringBackend(const io_uring& ring, uint32_t depth, bool direct)
      : ring_(ring), depth_(depth), files_(direct) {
    has_file_table_ = io_uring_register_files_sparse(&ring_, 2 * kFilesMax) == 0;
    if (io_uring_register_buffers_sparse(&ring_, kBuffersMax) == 0) {
      for (uint32_t i = kBuffersMax; i > 0; --i) {
        free_buffers_.push_back(i - 1);
      }
    }
  }

  ~UringBackend() override { io_uring_queue_exit(&ring_); }

  std::string_view name() const override { return "io_uring"; }
  uint32_t depth() const override { return depth_; }
  nanoseconds Now() const override { return std::chrono::steady_clock::now().time_since_epoch(); }

  Result<bool> AddFile(const File& file) override {
    const auto index = static_cast<uint32_t>(files_.size());
    auto direct = files_.Add(file);
    if (direct && has_file_table_ && index < kFilesMax) {
      int descriptors[2] = {files_.descriptor(index, false), files_.descriptor(index, true)};
      const int n = io_uring_register_files_update(&ring_, 2 * index, descriptors, 2);
      registered_.push_back(n == 2);
    } else {
      registered_.push_back(false);
    }
    return direct;
  }

  FileChange Changed(uint32_t file) const override { return files_.Changed(file); }

  std::optional<uint32_t> RegisterBuffer(std::span<std::byte> memory) override {
    if (free_buffers_.empty()) {
      return std::nullopt;
    }
    const uint32_t index = free_buffers_.back();
    if (!UpdateBuffer(index, {.iov_base = memory.data(), .iov_len = memory.size()})) {
      return std::nullopt;
    }
    free_buffers_.pop_back();
    return index;
  }

  void UnregisterBuffer(uint32_t buffer) override {
    UpdateBuffer(buffer, {.iov_base = nullptr, .iov_len = 0});
    free_buffers_.push_back(buffer);
  }

  void Queue(const BackendRead& read) override {
    io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
    Invariant(sqe != nullptr, "no more reads are queued than the ring holds");
    const bool registered = registered_[read.file];
    const int descriptor = registered ? static_cast<int>(2 * read.file + (read.buffered ? 1 : 0))
                                      : files_.descriptor(read.file, read.buffered);
    if (read.buffer != UINT32_MAX) {
      io_uring_prep_read_fixed(sqe, descriptor, read.to, read.bytes, read.offset,
                               static_cast<int>(read.buffer));
    } else {
      io_uring_prep_read(sqe, descriptor, read.to, read.bytes, read.offset);
    }
    if (registered) {
      io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    }
    io_uring_sqe_set_data64(sqe, read.id);
  }

  // What the kernel does not take now stays queued, and the next call offers it again.
  void Begin() override {
    while (io_uring_sq_ready(&ring_) > 0 && io_uring_submit(&ring_) > 0) {
    }
  }

  size_t Reap(std::span<BackendResult> results, nanoseconds wait) override {
    size_t n = Harvest(results);
    if (n > 0 || wait <= nanoseconds(0)) {
      return n;
    }
    if (io_uring_sq_ready(&ring_) > 0) {
      wait = std::min(wait, kRetryPause);
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
    __kernel_timespec bound = {.tv_sec = seconds.count(), .tv_nsec = (wait - seconds).count()};
    io_uring_cqe* cqe = nullptr;
    // An interruption or the bound: the caller looks at its clock.
    static_cast<void>(io_uring_wait_cqe_timeout(&ring_, &cqe, &bound));
    return Harvest(results);
  }

 private:
  bool UpdateBuffer(uint32_t index, iovec memory) {
    __u64 tag = 0;
    return io_uring_register_buffers_update_tag(&ring_, index, &memory, &tag, 1) == 1;
  }

  size_t Harvest(std::span<BackendResult> results) {
    size_t n = 0;
    io_uring_cqe* cqe = nullptr;
    while (n < results.size() && io_uring_peek_cqe(&ring_, &cqe) == 0) {
      results[n++] = {.id = static_cast<uint32_t>(io_uring_cqe_get_data64(cqe)),
                      .result = cqe->res};
      io_uring_cqe_seen(&ring_, cqe);
    }
    return n;
  }

  io_uring ring_;
  const uint32_t depth_;
  BackendFiles files_;
  bool has_file_table_ = false;
  std::vector<bool> registered_;  // files
  std::vector<uint32_t> free_buffers_;
};

}  // namespace

Result<std::unique_ptr<ReadBackend>> MakeUringBackend(uint32_t depth, bool direct) {
  io_uring ring = {};
  if (auto made = InitRing(depth, ring); !made) {
    return Forward(made);
  }
  return std::make_unique<UringBackend>(ring, depth, direct);
}

Result<> ProbeUring() {
  io_uring ring = {};
  auto made = InitRing(2, ring);
  if (made) {
    io_uring_queue_exit(&ring);
  }
  return made;
}

}  // namespace plimsoll::io
