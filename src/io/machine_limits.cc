#include "io/machine_limits.h"

#include <array>
#include <cstdio>
#include <fstream>
#include <utility>

#include <fmt/format.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/vfs.h>

#include "io/kernel_files.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

// "some avg10=0.12 avg60=0.00 avg300=0.00 total=1234", and the same for "full".
std::optional<MemoryPressure> ReadPressureFile(const path& file) {
  std::ifstream in(file);
  MemoryPressure pressure;
  bool has_some = false;
  for (std::string line; std::getline(in, line);) {
    double share = 0;
    unsigned long long total = 0;
    const size_t space = line.find(' ');
    const size_t at = line.find("total=");
    if (space == std::string::npos || at == std::string::npos ||
        std::sscanf(line.c_str() + space, " avg10=%lf", &share) != 1 ||
        std::sscanf(line.c_str() + at, "total=%llu", &total) != 1) {
      continue;
    }
    if (line.starts_with("some ")) {
      pressure.some_percent = share;
      pressure.some_us = total;
      has_some = true;
    } else if (line.starts_with("full ")) {
      pressure.full_percent = share;
      pressure.full_us = total;
    }
  }
  return has_some ? std::optional(pressure) : std::nullopt;
}

std::optional<uint64_t> Limit(__rlimit_resource resource) {
  rlimit limit = {};
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return std::nullopt;
  }
  return limit.rlim_cur;
}

// The word in brackets of "always [madvise] never".
std::string Chosen(const std::string& line) {
  const size_t open = line.find('[');
  const size_t close = line.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return {};
  }
  return line.substr(open + 1, close - open - 1);
}

bool HasCapability(const path& root, unsigned capability) {
  std::ifstream in(Below(root, "proc/self/status"));
  for (std::string line; std::getline(in, line);) {
    unsigned long long mask = 0;
    if (std::sscanf(line.c_str(), "CapEff: %llx", &mask) == 1) {
      return (mask >> capability & 1) != 0;
    }
  }
  return false;
}

}  // namespace

std::optional<MemoryPressure> ReadMemoryPressure(const path& root) {
  if (const auto group = CgroupPath(root, "")) {
    // The root group has no file of its own.
    if (auto pressure = ReadPressureFile(
            Below(Below(Below(root, "sys/fs/cgroup"), *group), "memory.pressure"))) {
      return pressure;
    }
  }
  return ReadPressureFile(Below(root, "proc/pressure/memory"));
}

std::optional<uint64_t> ReadMemoryStalledUs(const path& root) {
  auto pressure = ReadPressureFile(Below(root, "proc/pressure/memory"));
  if (!pressure) {
    pressure = ReadMemoryPressure(root);
  }
  return pressure ? std::optional(pressure->some_us) : std::nullopt;
}

ProcessLimits ReadProcessLimits(const path& root) {
  return {.locked_bytes = Limit(RLIMIT_MEMLOCK),
          .may_pass_locked = HasCapability(root, CAP_IPC_LOCK),
          .address_bytes = Limit(RLIMIT_AS),
          .open_files = Limit(RLIMIT_NOFILE).value_or(UINT64_MAX)};
}

HugePages ReadHugePages(const path& root) {
  const path folder = Below(root, "sys/kernel/mm/transparent_hugepage");
  return {.transparent = Chosen(ReadLine(Below(folder, "enabled"))),
          .defragment = Chosen(ReadLine(Below(folder, "defrag")))};
}

std::optional<uint64_t> ReadUringDisabled(const path& root) {
  return ReadNumber(Below(root, "proc/sys/kernel/io_uring_disabled"));
}

std::string FileSystemOf(const path& file) {
  struct statfs status = {};
  if (::statfs(file.c_str(), &status) != 0) {
    return "?";
  }
  // linux/magic.h and statfs(2).
  static constexpr std::array<std::pair<uint32_t, const char*>, 13> kNames = {{
      {0xEF53, "ext4"},
      {0x58465342, "xfs"},
      {0x9123683E, "btrfs"},
      {0x01021994, "tmpfs"},
      {0x794C7630, "overlay"},
      {0x6969, "nfs"},
      {0x2FC12FC1, "zfs"},
      {0xF2F52010, "f2fs"},
      {0xCA451A4E, "bcachefs"},
      {0x65735546, "fuse"},
      {0xFF534D42, "cifs"},
      {0x01021997, "9p"},
      {0x4D44, "fat"},
  }};
  const auto type = static_cast<uint32_t>(status.f_type);
  for (const auto& [number, name] : kNames) {
    if (number == type) {
      return name;
    }
  }
  return fmt::format("{:#x}", type);
}

}  // namespace plimsoll::io
