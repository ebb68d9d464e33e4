#include "io/frame_memory.h"

#include <cstring>
#include <utility>

#include <sys/mman.h>

#include "base/bytes.h"
#include "base/checked.h"

namespace plimsoll::io {
namespace {

constexpr uint64_t kHugePage = 2 * kMiB;

}  // namespace

Result<FrameMemory> FrameMemory::Allocate(uint64_t bytes, bool huge) {
  FrameMemory memory;
  memory.size_ = AlignUp(bytes, kHugePage);
  memory.mapping_bytes_ = memory.size_ + kHugePage;  // a mapping begins at a small page
  void* const mapping = ::mmap(nullptr, memory.mapping_bytes_, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    return Fail(ErrorKind::kDoesNotFit, "the system has no {} of memory to read into",
                FormatBytes(bytes));
  }
  memory.mapping_ = mapping;
  const uint64_t offset = -reinterpret_cast<uintptr_t>(mapping) % kHugePage;
  memory.data_ = static_cast<std::byte*>(mapping) + offset;
  static_cast<void>(::madvise(memory.data_, memory.size_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
  std::memset(memory.data_, 0, memory.size_);
  return memory;
}

FrameMemory& FrameMemory::operator=(FrameMemory&& other) noexcept {
  if (this != &other) {
    Free();
    mapping_ = std::exchange(other.mapping_, nullptr);
    mapping_bytes_ = std::exchange(other.mapping_bytes_, 0);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void FrameMemory::Free() {
  if (mapping_ != nullptr) {
    ::munmap(mapping_, mapping_bytes_);
    mapping_ = nullptr;
  }
}

}  // namespace plimsoll::io
