// A backend that looks at every read on its way to the disk: where it will write, and whether
// someone uses what is there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "io/read_backend.h"
#include "sim/findings.h"

namespace plimsoll::sim {

// Memory that nobody may write to for now.
class Protected {
 public:
  void Add(std::span<const std::byte> memory) { ranges_.push_back(memory); }
  void Clear() { ranges_.clear(); }
  [[nodiscard]] bool Touches(std::span<const std::byte> memory) const;

 private:
  std::vector<std::span<const std::byte>> ranges_;
};

class WatchedBackend final : public io::ReadBackend {
 public:
  // `places_differ`: no two pages have a block of the file in common, so that one place is never
  // read twice at a time.
  WatchedBackend(std::unique_ptr<io::ReadBackend> inner, const Protected& in_use,
                 Findings& findings, bool places_differ)
      : inner_(std::move(inner)),
        in_use_(in_use),
        findings_(findings),
        places_differ_(places_differ) {}
  ~WatchedBackend() override;

  [[nodiscard]] std::string_view name() const override { return inner_->name(); }
  [[nodiscard]] uint32_t depth() const override { return inner_->depth(); }
  [[nodiscard]] std::chrono::nanoseconds Now() const override { return inner_->Now(); }
  [[nodiscard]] Result<bool> AddFile(const io::File& file) override {
    return inner_->AddFile(file);
  }
  [[nodiscard]] io::FileChange Changed(uint32_t file) const override {
    return inner_->Changed(file);
  }
  [[nodiscard]] std::optional<uint32_t> RegisterBuffer(std::span<std::byte> memory) override {
    return inner_->RegisterBuffer(memory);
  }
  void UnregisterBuffer(uint32_t buffer) override { inner_->UnregisterBuffer(buffer); }
  void Queue(const io::BackendRead& read) override;
  void Begin() override { inner_->Begin(); }
  size_t Reap(std::span<io::BackendResult> results, std::chrono::nanoseconds wait) override;

  // What is in use now is not being written to.
  void CheckInUse() const;
  [[nodiscard]] uint64_t n_reads() const { return n_reads_; }

 private:
  std::unique_ptr<io::ReadBackend> inner_;
  const Protected& in_use_;
  Findings& findings_;
  bool places_differ_;
  std::vector<io::BackendRead> under_way_;
  uint64_t n_reads_ = 0;
};

}  // namespace plimsoll::sim
