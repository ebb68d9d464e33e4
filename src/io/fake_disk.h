// A disk in virtual time: it takes as long as it is told to, and nobody waits. For tests and the
// simulation; what it does depends on its options and the order of the calls alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "io/read_backend.h"

namespace plimsoll::io {

// Shared by all that live in one simulated time; only ever goes forward.
class VirtualClock {
 public:
  [[nodiscard]] std::chrono::nanoseconds now() const { return now_; }
  void Advance(std::chrono::nanoseconds by) { now_ += by; }

 private:
  std::chrono::nanoseconds now_{};
};

struct FakeDiskOptions {
  uint32_t depth = 64;
  std::chrono::nanoseconds latency = std::chrono::microseconds(100);  // of a read, before its bytes
  double bytes_per_second = 2e9;                                      // of all reads together
  // This share of the reads, drawn by the seed, takes so much longer.
  uint64_t seed = 1;
  double slow_share = 0;
  std::chrono::nanoseconds slow_extra = std::chrono::milliseconds(100);
  // True: made-up bytes (FakeBytes), and files need none of their own (File::Placeholder).
  bool made_up = false;
};

class FakeDisk final : public ReadBackend {
 public:
  // Of the reads that were begun.
  struct Work {
    uint64_t n_reads = 0;
    uint64_t n_slow = 0;
    uint64_t bytes = 0;
  };

  FakeDisk(const FakeDiskOptions& options, VirtualClock& clock);

  [[nodiscard]] std::string_view name() const override { return "fake"; }
  [[nodiscard]] uint32_t depth() const override { return options_.depth; }
  [[nodiscard]] std::chrono::nanoseconds Now() const override { return clock_.now(); }
  [[nodiscard]] Result<bool> AddFile(const File& file) override;
  [[nodiscard]] FileChange Changed(uint32_t file) const override { return files_[file].change; }
  [[nodiscard]] std::optional<uint32_t> RegisterBuffer(std::span<std::byte> /*memory*/) override {
    return n_buffers_++;
  }
  void UnregisterBuffer(uint32_t /*buffer*/) override {}
  void Queue(const BackendRead& read) override { queued_.push_back(read); }
  void Begin() override;
  // Moves the clock to the next result, or by `wait` if that is sooner.
  size_t Reap(std::span<BackendResult> results, std::chrono::nanoseconds wait) override;

  // What the disk does from now on.
  void SetSpeed(std::chrono::nanoseconds latency, double bytes_per_second);
  // The file ends here now; reads beyond get nothing.
  void Truncate(uint32_t file, uint64_t bytes);
  void Modify(uint32_t file) { files_[file].change = FileChange::kModified; }

  [[nodiscard]] const Work& begun() const { return begun_; }
  // When all that was begun will have been read.
  [[nodiscard]] std::chrono::nanoseconds busy_until() const { return free_at_; }

 private:
  struct OpenFile {
    const File* file = nullptr;
    uint64_t bytes = 0;
    FileChange change = FileChange::kNone;
  };
  struct UnderWay {
    BackendRead read;
    std::chrono::nanoseconds done_at{};
  };

  [[nodiscard]] BackendResult Carry(const BackendRead& read) const;

  FakeDiskOptions options_;
  VirtualClock& clock_;
  std::vector<OpenFile> files_;
  std::vector<BackendRead> queued_;
  std::vector<UnderWay> under_way_;
  std::chrono::nanoseconds free_at_{};  // the bus
  Work begun_;
  uint32_t n_buffers_ = 0;
};

// The made-up bytes from `offset` of the file that was added as number `file`.
void FakeBytes(uint32_t file, uint64_t offset, std::span<std::byte> out);

}  // namespace plimsoll::io
