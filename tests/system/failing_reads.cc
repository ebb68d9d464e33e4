// A disk that fails or is slow, for a program that loads this library first (LD_PRELOAD): the reads
// of models, files whose names end with .gguf. The file that FAILING_READS names says how it
// is now: the share of reads that fail (EIO), the share of those that take longer, and by how many
// milliseconds.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/rng.h"

namespace {

struct Disk {
  double failing = 0;
  double slow = 0;
  int slow_ms = 0;
};

Disk DiskNow() {
  Disk disk;
  const char* const path = std::getenv("FAILING_READS");
  const std::unique_ptr<FILE, int (*)(FILE*)> file(
      path == nullptr ? nullptr : std::fopen(path, "re"),
      [](FILE* open) { return std::fclose(open); });
  if (file == nullptr ||
      std::fscanf(file.get(), "%lf %lf %d", &disk.failing, &disk.slow, &disk.slow_ms) != 3) {
    return {};
  }
  return disk;
}

bool IsModel(int fd) {
  char target[4096];
  const ssize_t n =
      ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
  return n > 0 && std::string_view(target, static_cast<size_t>(n)).ends_with(".gguf");
}

}  // namespace

// Found before the C library's, whose header has an inline function of this name.
extern "C" ssize_t PreadOfFailingDisk(int fd, void* to, size_t bytes,
                                      off_t offset) __asm__("pread");
extern "C" ssize_t PreadOfFailingDisk(int fd, void* to, size_t bytes, off_t offset) {
  static std::atomic<uint64_t> n_reads = 0;
  if (IsModel(fd)) {
    const Disk disk = DiskNow();
    const uint64_t n = ++n_reads;
    if (plimsoll::UniformAt(1, n, 0) < disk.slow) {
      std::this_thread::sleep_for(std::chrono::milliseconds(disk.slow_ms));
    }
    if (plimsoll::UniformAt(1, n, 1) < disk.failing) {
      errno = EIO;
      return -1;
    }
  }
  return ::syscall(SYS_pread64, fd, to, bytes, offset);
}
