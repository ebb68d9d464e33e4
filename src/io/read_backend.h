// What moves the bytes for a Reader: a seam, so that the rules of reader.h are written once and run
// the same over the kernel's ring, a pool of threads, and a fake disk in virtual time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::io {

// One read. `offset` is absolute. Of a direct read it, `bytes` and `to` are multiples of
// kIoAlignment.
struct BackendRead {
  uint32_t id = 0;  // below the depth; names the read in its result
  uint32_t file = 0;
  bool buffered = true;  // through the page cache
  uint64_t offset = 0;
  uint32_t bytes = 0;
  std::byte* to = nullptr;
  uint32_t buffer = UINT32_MAX;  // registered, or none
};

struct BackendResult {
  uint32_t id = 0;
  int32_t result = 0;  // bytes read, 0 at the end of the file, or -errno
};

// Thread-compatible, as the Reader that owns it.
class ReadBackend {
 public:
  ReadBackend() = default;
  ReadBackend(const ReadBackend&) = delete;
  ReadBackend& operator=(const ReadBackend&) = delete;
  // Nothing is under way.
  virtual ~ReadBackend() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual uint32_t depth() const = 0;
  // Since any fixed moment; never goes back.
  [[nodiscard]] virtual std::chrono::nanoseconds Now() const = 0;

  // Files are numbered from 0 in the order of the calls. True: it will be read with direct I/O.
  [[nodiscard]] virtual Result<bool> AddFile(const File& file) = 0;
  // Whether the file is what it was when it was opened.
  [[nodiscard]] virtual FileChange Changed(uint32_t file) const = 0;
  [[nodiscard]] virtual std::optional<uint32_t> RegisterBuffer(std::span<std::byte> memory) = 0;
  virtual void UnregisterBuffer(uint32_t buffer) = 0;

  // Queues a read; at most depth() without a result. Begin hands over what is queued.
  virtual void Queue(const BackendRead& read) = 0;
  virtual void Begin() = 0;
  // Waits until there is a result, but no longer than `wait` (0: not at all). Results in the order
  // of their arrival; results.size() is at least 1.
  virtual size_t Reap(std::span<BackendResult> results, std::chrono::nanoseconds wait) = 0;
};

}  // namespace plimsoll::io
