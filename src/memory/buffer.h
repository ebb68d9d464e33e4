// Big memory: anonymous pages that the ledger granted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.h"
#include "memory/ledger.h"

namespace plimsoll::memory {

// Zeroed, page-aligned memory; huge pages where it is large enough. Move-only.
class Buffer {
 public:
  Buffer() = default;
  // kDoesNotFit names `what`, its size and what the line has left.
  [[nodiscard]] static Result<Buffer> Allocate(Ledger& ledger, Account account, uint64_t bytes,
                                               std::string_view what);
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { Free(); }

  // Has the kernel back all of it now: with huge pages, where it would give small ones to memory
  // that a device reads into first.
  void Populate();
  // Gives what lies behind the first `bytes`, whole pages, back to the system and to the ledger.
  void Truncate(uint64_t bytes);

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] std::span<std::byte> span() const { return {data_, size_}; }

 private:
  void Free();

  Reservation reservation_;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

// Hands out parts of a buffer one after another, each aligned to 64 bytes. Made without a buffer it
// only counts, so the same code that lays memory out also says how much it takes.
class Carver {
 public:
  Carver() = default;
  explicit Carver(std::span<std::byte> memory) : memory_(memory) {}

  template <class T>
  [[nodiscard]] std::span<T> Take(uint64_t n) {
    std::byte* at = TakeBytes(n * sizeof(T));
    return at == nullptr ? std::span<T>() : std::span<T>(reinterpret_cast<T*>(at), n);
  }
  [[nodiscard]] std::byte* TakeBytes(uint64_t bytes);
  [[nodiscard]] uint64_t used() const { return used_; }

 private:
  std::span<std::byte> memory_;
  uint64_t used_ = 0;
};

}  // namespace plimsoll::memory
