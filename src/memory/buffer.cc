#include "memory/buffer.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/mman.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::memory {
namespace {

constexpr uint64_t kPageBytes = 4096;
constexpr uint64_t kHugePageBytes = 2 * kMiB;
constexpr uint64_t kCarveAlignment = 64;

}  // namespace

Result<Buffer> Buffer::Allocate(Ledger& ledger, Account account, uint64_t bytes,
                                std::string_view what) {
  const auto size = CheckedAlignUp(bytes == 0 ? kPageBytes : bytes, kPageBytes);
  auto reservation = size ? ledger.Reserve(account, *size) : std::nullopt;
  if (!reservation) {
    return Fail(ErrorKind::kDoesNotFit, "{} needs {}, and the line of {} has {} left", what,
                FormatBytes(bytes), FormatBytes(ledger.budget_bytes()),
                FormatBytes(ledger.available_bytes(account)));
  }
  void* memory = ::mmap(nullptr, *size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorKind::kDoesNotFit, "the system refuses {} for {}: {}", FormatBytes(*size),
                what, std::strerror(errno));
  }
  if (*size >= 2 * kHugePageBytes) {
    // Refused where the system has no huge pages; then the memory is in small ones.
    ::madvise(memory, *size, MADV_HUGEPAGE);
  }
  Buffer buffer;
  buffer.reservation_ = std::move(*reservation);
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.size_ = *size;
  return buffer;
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Free();
    reservation_ = std::move(other.reservation_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Buffer::Populate() {
  // Refused before Linux 5.14; then it happens when the memory is used.
  ::madvise(data_, size_, MADV_POPULATE_WRITE);
}

void Buffer::Truncate(uint64_t bytes) {
  const uint64_t kept = AlignUp(bytes, kPageBytes);
  if (kept == 0) {
    Free();
    size_ = 0;
  } else if (kept < size_) {
    ::munmap(data_ + kept, size_ - kept);
    reservation_.Shrink(kept);
    size_ = kept;
  }
}

void Buffer::Free() {
  if (data_ != nullptr) {
    ::munmap(data_, size_);
    data_ = nullptr;
    reservation_.Release();
  }
}

std::byte* Carver::TakeBytes(uint64_t bytes) {
  const uint64_t at = used_;
  used_ += AlignUp(bytes, kCarveAlignment);
  if (memory_.data() == nullptr) {
    return nullptr;
  }
  Invariant(used_ <= memory_.size(), "a layout takes no more than it counted");
  return memory_.data() + at;
}

}  // namespace plimsoll::memory
