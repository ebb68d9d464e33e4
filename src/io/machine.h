// Facts of the machine that a process may use: memory, and processors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace plimsoll::io {

struct MemoryFacts {
  uint64_t total = 0;      // of the machine
  uint64_t available = 0;  // what the kernel could give without swapping
  // The tightest limit of the process's control groups (v1 or v2, where memory.high counts too, for
  // above it a process is slowed down to nothing), and what they use of it that
  // cannot be reclaimed: cached file pages do not count.
  std::optional<uint64_t> cgroup_limit;
  uint64_t cgroup_used = 0;
};

// `root` is "/" but in tests.
[[nodiscard]] MemoryFacts ReadMemoryFacts(const std::filesystem::path& root = "/");

// Left below a control group's limit: the 64 MiB by which a process may pass its line, and what the
// kernel charges to the group on top (page tables, sockets).
inline constexpr uint64_t kCgroupReserve = 96 << 20;

// What a process may take without pushing others out: what is available less a reserve of a
// sixteenth, at least 256 MiB and at most 2 GiB, for everything else on the machine; or, if that is
// less, what is left of the control group's limit less kCgroupReserve. `held_bytes`: what the
// process has under its line already, when the line is drawn anew; it is not free, but it is the
// line's.
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
