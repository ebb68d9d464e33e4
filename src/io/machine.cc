#include "io/machine.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <sched.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "io/kernel_files.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

// 0 rather than below it.
uint64_t Less(uint64_t a, uint64_t b) { return a - std::min(a, b); }

struct CgroupFiles {
  path mount;
  const char* limit;
  const char* throttle;  // above it a group is slowed down; null where there is no such thing
  const char* usage;
  std::vector<std::string> reclaimable;  // in memory.stat
};

// Without a limit version 2 says "max" and version 1 a number beyond any memory.
uint64_t LimitIn(const path& folder, const CgroupFiles& files) {
  const uint64_t limit = ReadNumber(Below(folder, files.limit)).value_or(UINT64_MAX);
  return files.throttle == nullptr
             ? limit
             : std::min(limit, ReadNumber(Below(folder, files.throttle)).value_or(UINT64_MAX));
}

// In bytes of what a group uses.
uint64_t ReclaimableIn(const path& folder, const CgroupFiles& files) {
  uint64_t bytes = 0;
  for (const std::string& name : files.reclaimable) {
    bytes += NumberBehind(Below(folder, "memory.stat"), name);
  }
  return bytes;
}

// Limits hold for a group and all above it; the one that leaves the process least counts.
void ReadCgroup(const path& root, std::string_view controller, const CgroupFiles& files,
                MemoryFacts& facts) {
  const auto group = CgroupPath(root, controller);
  if (!group) {
    return;
  }
  for (path at = *group;; at = at.parent_path()) {
    const path folder = Below(Below(root, files.mount), at);
    const uint64_t limit = LimitIn(folder, files);
    if (limit < facts.total) {
      MemoryFacts here = facts;
      const uint64_t usage = ReadNumber(Below(folder, files.usage)).value_or(0);
      here.cgroup_limit = limit;
      here.cgroup_used = usage - std::min(usage, ReclaimableIn(folder, files));
      // Behind the usage: what the process takes meanwhile is not to count as that of others.
      here.process_bytes = NumberBehind(Below(root, "proc/self/status"), "RssAnon:") * kKiB;
      if (!facts.cgroup_limit || *CgroupLine(here) < *CgroupLine(facts)) {
        facts = here;
      }
    }
    if (at.empty()) {
      return;
    }
  }
}

// Processors' worth of time that the control group allows; 0: no quota.
uint64_t CpuQuota(const path& root) {
  if (const auto group = CgroupPath(root, "")) {
    std::ifstream in(Below(Below(Below(root, "sys/fs/cgroup"), *group), "cpu.max"));
    uint64_t quota = 0;
    uint64_t period = 0;
    if (in >> quota >> period && period > 0) {
      return CeilDiv(quota, period);
    }
  }
  if (const auto group = CgroupPath(root, "cpu")) {
    const path folder = Below(Below(root, "sys/fs/cgroup/cpu"), *group);
    const auto quota =
        ReadNumber(Below(folder, "cpu.cfs_quota_us"));  // -1 does not read as a number
    const auto period = ReadNumber(Below(folder, "cpu.cfs_period_us"));
    if (quota && period && *period > 0 && *quota < UINT32_MAX) {
      return CeilDiv(*quota, *period);
    }
  }
  return 0;
}

}  // namespace

MemoryFacts ReadMemoryFacts(const path& root) {
  MemoryFacts facts;
  facts.total = NumberBehind(Below(root, "proc/meminfo"), "MemTotal:") * kKiB;
  facts.available = NumberBehind(Below(root, "proc/meminfo"), "MemAvailable:") * kKiB;
  ReadCgroup(root, "",
             {"sys/fs/cgroup",
              "memory.max",
              "memory.high",
              "memory.current",
              {"inactive_file", "active_file", "slab_reclaimable"}},
             facts);
  ReadCgroup(root, "memory",
             {"sys/fs/cgroup/memory",
              "memory.limit_in_bytes",
              nullptr,
              "memory.usage_in_bytes",
              {"total_inactive_file", "total_active_file"}},
             facts);
  return facts;
}

uint64_t CgroupReserve(const MemoryFacts& facts) {
  return kBesideLine + std::max(kCgroupChargesMin, facts.cgroup_others());
}

std::optional<uint64_t> CgroupLine(const MemoryFacts& facts) {
  return facts.cgroup_limit ? std::optional(Less(*facts.cgroup_limit, CgroupReserve(facts)))
                            : std::nullopt;
}

uint64_t DefaultMemoryLine(const MemoryFacts& facts, uint64_t held_bytes) {
  const uint64_t available = facts.available + held_bytes;
  const uint64_t line = Less(available, std::clamp(available / 16, 256 * kMiB, 2 * kGiB));
  if (!facts.cgroup_limit) {
    return line;
  }
  const uint64_t reserve = kBesideLine + kCgroupChargesMin + facts.cgroup_others();
  return std::min(line, Less(*facts.cgroup_limit, reserve));
}

uint64_t ResidentMemory() { return NumberBehind("/proc/self/status", "VmRSS:") * kKiB; }

uint64_t PeakMemory() { return NumberBehind("/proc/self/status", "VmHWM:") * kKiB; }

bool ForgetPeakMemory() {
  std::ofstream file("/proc/self/clear_refs");
  return static_cast<bool>(file << 5 << std::flush);  // proc(5): resets VmHWM to what it is now
}

std::string ProcessorName(const path& root) {
  std::ifstream in(Below(root, "proc/cpuinfo"));
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return {};
}

CoreFacts ReadCoreFacts(const path& root) {
  CoreFacts facts;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return facts;
  }
  std::set<std::string> cores;
  for (uint32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) {
      continue;
    }
    const path file =
        Below(root, fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    std::ifstream in(file);
    std::string siblings;
    if (!std::getline(in, siblings)) {
      siblings = std::to_string(cpu);  // topology hidden: a core of its own
    }
    if (cores.insert(siblings).second) {
      facts.processors.push_back(cpu);
    }
  }
  const uint64_t quota = CpuQuota(root);
  const uint64_t n_cores = facts.processors.size();
  const uint64_t n_usable = quota == 0 ? n_cores : std::min(n_cores, quota);
  facts.n_usable = static_cast<uint32_t>(std::max<uint64_t>(n_usable, 1));
  return facts;
}

}  // namespace plimsoll::io
