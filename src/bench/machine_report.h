// What this machine offers to a model that may be bigger than its memory, and what could be
// changed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/machine_peak.h"
#include "io/disk_speed.h"
#include "io/machine.h"
#include "io/machine_limits.h"

namespace plimsoll::bench {

struct MachineReport {
  struct Kernels {
    std::string_view name;
    std::string_view description;
    bool supported = false;
    bool chosen = false;
  };

  std::string processor;
  std::vector<std::string> features;  // of those that matter here, what the processor has
  io::CoreFacts cores;
  std::vector<Kernels> kernels;  // slowest first

  io::MemoryFacts memory;
  uint64_t default_line = 0;
  std::optional<io::MemoryPressure> pressure;
  io::ProcessLimits limits;
  io::HugePages huge_pages;

  std::optional<std::string> uring_refused;  // why; nothing: it is there
  std::optional<uint64_t> uring_disabled;

  std::filesystem::path disk_path;  // what the disk was judged by
  std::string file_system;
  std::optional<bool> direct;  // nothing: not tried
  std::optional<io::DiskSpeed> disk;
  std::string disk_not_measured;  // why there is none
  std::optional<MachinePeak> peak;
  std::string peak_not_measured;
};

struct MachineReportOptions {
  std::optional<std::filesystem::path> model;  // whose disk counts; without: the cache folder's
  bool measure = true;
  bool anew = false;  // measures what is remembered too
};

// What cannot be found out is left empty, with its reason where there is a place for it. kIo or
// kBadModel when the model cannot be opened.
[[nodiscard]] Result<MachineReport> GatherMachineReport(const MachineReportOptions& options);

// What to change, most useful first, a sentence or two each; empty when all is well.
[[nodiscard]] std::vector<std::string> AdviceOn(const MachineReport& report);

}  // namespace plimsoll::bench
