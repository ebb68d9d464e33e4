// A backend that fails now and then, around one that works: for tests and the simulation.
#pragma once

#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "io/read_backend.h"

namespace plimsoll::io {

// Which reads fail depends on the seed and on the order of the reads alone.
struct FaultPlan {
  uint64_t seed = 1;
  double short_share = 0;        // of the reads that give less than they were asked for
  double interrupted_share = 0;  // that end with EINTR
  double again_share = 0;        // that end with EAGAIN
  // This share of the reads, every n-th, or the n-th alone (from 1), ends with this error. A
  // `lasting` one comes back when the same place is read again.
  double error_share = 0;
  uint64_t error_every = 0;
  uint64_t error_at = 0;
  int error_number = EIO;
  bool lasting = false;
};

class FaultyBackend final : public ReadBackend {
 public:
  FaultyBackend(std::unique_ptr<ReadBackend> inner, const FaultPlan& plan);

  [[nodiscard]] std::string_view name() const override { return inner_->name(); }
  [[nodiscard]] uint32_t depth() const override { return inner_->depth(); }
  [[nodiscard]] std::chrono::nanoseconds Now() const override { return inner_->Now(); }
  [[nodiscard]] Result<bool> AddFile(const File& file) override { return inner_->AddFile(file); }
  [[nodiscard]] FileChange Changed(uint32_t file) const override { return inner_->Changed(file); }
  [[nodiscard]] std::optional<uint32_t> RegisterBuffer(std::span<std::byte> memory) override {
    return inner_->RegisterBuffer(memory);
  }
  void UnregisterBuffer(uint32_t buffer) override { inner_->UnregisterBuffer(buffer); }
  void Queue(const BackendRead& read) override;
  void Begin() override { inner_->Begin(); }
  size_t Reap(std::span<BackendResult> results, std::chrono::nanoseconds wait) override;

  // From now on; the places that failed lastingly are forgotten.
  void Change(const FaultPlan& plan);
  [[nodiscard]] uint64_t n_reads() const { return n_reads_; }
  [[nodiscard]] uint64_t n_errors() const { return n_errors_; }

 private:
  struct Place {
    uint32_t file = 0;
    uint64_t offset = 0;
  };

  // errno, or 0 when the read goes on to the real backend.
  [[nodiscard]] int FaultOf(const BackendRead& read);

  std::unique_ptr<ReadBackend> inner_;
  FaultPlan plan_;
  uint64_t n_reads_ = 0;
  uint64_t n_errors_ = 0;
  std::vector<Place> bad_places_;
  std::vector<BackendResult> injected_;
};

}  // namespace plimsoll::io
