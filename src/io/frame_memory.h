// Memory for frames outside any ledger: for measuring, which happens before or beside a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/result.h"

namespace plimsoll::io {

// Anonymous, all of it resident, in huge pages where the system grants them: what lies scattered
// over small pages goes to the device in many more pieces, which halves the bandwidth of some
// (bench/RESULTS.md). Move-only.
class FrameMemory {
 public:
  FrameMemory() = default;
  // kDoesNotFit when the system has not that much. Without `huge` in small pages, to see the
  // difference.
  [[nodiscard]] static Result<FrameMemory> Allocate(uint64_t bytes, bool huge = true);
  FrameMemory(FrameMemory&& other) noexcept { *this = std::move(other); }
  FrameMemory& operator=(FrameMemory&& other) noexcept;
  FrameMemory(const FrameMemory&) = delete;
  FrameMemory& operator=(const FrameMemory&) = delete;
  ~FrameMemory() { Free(); }

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> span() const { return {data_, size_}; }

 private:
  void Free();

  void* mapping_ = nullptr;
  uint64_t mapping_bytes_ = 0;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace plimsoll::io
