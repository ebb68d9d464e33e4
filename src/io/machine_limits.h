// What the system allows and how it is doing: memory pressure, limits, huge pages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace plimsoll::io {

// The share of the last ten seconds in which something (`some`) or everything (`full`) stood still
// for want of memory, and the time that it stood still since the start.
struct MemoryPressure {
  double some_percent = 0;
  double full_percent = 0;
  uint64_t some_us = 0;
  uint64_t full_us = 0;
};

// Of the process's control group (v2), or of the machine; nothing where the kernel does not count
// it (CONFIG_PSI, psi=1).
[[nodiscard]] std::optional<MemoryPressure> ReadMemoryPressure(
    const std::filesystem::path& root = "/");

// How long some process on the machine (those in control groups too) has stood still for want of
// memory since it started, in microseconds: where the kernel does not say, the same of the
// process's own control group; nothing where it does not count at all. Cheap: one small file is
// read.
[[nodiscard]] std::optional<uint64_t> ReadMemoryStalledUs(const std::filesystem::path& root = "/");

struct ProcessLimits {
  std::optional<uint64_t> locked_bytes;   // RLIMIT_MEMLOCK; nothing: none
  bool may_pass_locked = false;           // CAP_IPC_LOCK
  std::optional<uint64_t> address_bytes;  // RLIMIT_AS
  uint64_t open_files = 0;                // RLIMIT_NOFILE
};

[[nodiscard]] ProcessLimits ReadProcessLimits(const std::filesystem::path& root = "/");

struct HugePages {
  // "always", "madvise" (what Plimsoll needs) or "never"; empty: the kernel has none.
  std::string transparent;
  std::string defragment;  // when the kernel makes room for one: "always", "defer", "madvise"...
};

[[nodiscard]] HugePages ReadHugePages(const std::filesystem::path& root = "/");

// sysctl kernel.io_uring_disabled: 0 for all, 1 for a group, 2 for nobody; nothing before
// Linux 6.6.
[[nodiscard]] std::optional<uint64_t> ReadUringDisabled(const std::filesystem::path& root = "/");

// The type of the file system that the path is on: "ext4", "overlay", "tmpfs"; its number in
// hexadecimal where this does not know its name.
[[nodiscard]] std::string FileSystemOf(const std::filesystem::path& path);

}  // namespace plimsoll::io
