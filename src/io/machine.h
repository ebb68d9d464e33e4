// Facts of the machine that a process may use: memory, and processors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace plimsoll::io {

struct MemoryFacts {
  uint64_t total = 0;      // of the machine
  uint64_t available = 0;  // what the kernel could give without swapping
  // Of the process's control group and those above it (v1 or v2, where memory.high counts too, for
  // above it a process is slowed down to nothing) the one that leaves it least: its limit, and what
  // is used of it that cannot be reclaimed: cached file pages do not count.
  std::optional<uint64_t> cgroup_limit;
  uint64_t cgroup_used = 0;
  uint64_t process_bytes = 0;  // of that, what the process has itself: its anonymous memory

  // What is used by others, or by the kernel for this process.
  [[nodiscard]] uint64_t cgroup_others() const {
    return cgroup_used - std::min(cgroup_used, process_bytes);
  }
};

// `root` is "/" but in tests.
[[nodiscard]] MemoryFacts ReadMemoryFacts(const std::filesystem::path& root = "/");

// Left below a control group's limit: the 64 MiB by which a process may pass its line; and for what
// the kernel charges to the group on top (page tables, sockets) and what others in it use so much,
// or what these are if that is more.
inline constexpr uint64_t kBesideLine = 64 << 20;
inline constexpr uint64_t kCgroupChargesMin = 32 << 20;

// Of the group's limit, what is not for the line.
[[nodiscard]] uint64_t CgroupReserve(const MemoryFacts& facts);
// The highest line that the control groups leave room for; nothing where they have no limit.
[[nodiscard]] std::optional<uint64_t> CgroupLine(const MemoryFacts& facts);

// What a process may take without pushing others out: what is available less a reserve of a
// sixteenth, at least 256 MiB and at most 2 GiB, for everything else on the machine; or, if that is
// less, what the control groups leave room for when others in them use 32 MiB more than now.
// `held_bytes`: what the process has under its line already, when the line is drawn anew; it is not
// free, but it is the line's.
[[nodiscard]] uint64_t DefaultMemoryLine(const MemoryFacts& facts, uint64_t held_bytes = 0);

// What the process has resident now (files it maps included), in bytes; 0 where the kernel does not
// say.
[[nodiscard]] uint64_t ResidentMemory();
// The most memory that the process had resident (files it maps included) since it started or since
// ForgetPeakMemory, in bytes; 0 where the kernel does not say.
[[nodiscard]] uint64_t PeakMemory();
// From here on, PeakMemory counts anew. False where the kernel does not allow it.
bool ForgetPeakMemory();

// As /proc/cpuinfo names the processor; empty where it does not.
[[nodiscard]] std::string ProcessorName(const std::filesystem::path& root = "/");

struct CoreFacts {
  // Of every physical core that the process's affinity allows, one processor: two threads of one
  // core share its arithmetic units and count once. Ascending.
  std::vector<uint32_t> processors;
  // Cores worth of time: as many, or what a control group's quota, rounded up, leaves of them; at
  // least 1.
  uint32_t n_usable = 1;
};

[[nodiscard]] CoreFacts ReadCoreFacts(const std::filesystem::path& root = "/");

}  // namespace plimsoll::io
