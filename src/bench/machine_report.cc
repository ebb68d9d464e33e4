#include "bench/machine_report.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "base/bytes.h"
#include "formats/catalogue.h"
#include "io/file.h"
#include "io/measurement_cache.h"
#include "io/uring_backend.h"
#include "kernels/kernels.h"

namespace plimsoll::bench {
namespace {

using std::filesystem::path;

constexpr uint64_t kOpenFilesMin = 256;     // a split model and its sessions
constexpr double kPressurePercent = 5;      // of ten seconds
constexpr double kBurstShare = 0.7;         // of the best moment that lasts
constexpr double kSlowDiskBytes = 1e9;      // a second; an NVMe drive gives three to fourteen
constexpr uint64_t kChunkBytes = 32 << 20;  // what is registered at a time

std::vector<std::string> ProcessorFeatures() {
  std::vector<std::string> names;
  const auto add = [&names](bool has, const char* name) {
    if (has) {
      names.emplace_back(name);
    }
  };
  add(__builtin_cpu_supports("avx2") != 0, "AVX2");
  add(__builtin_cpu_supports("fma") != 0, "FMA");
  add(__builtin_cpu_supports("avx512f") != 0, "AVX-512");
  add(__builtin_cpu_supports("avx512vnni") != 0, "AVX-512 VNNI");
  add(__builtin_cpu_supports("avx512bf16") != 0, "AVX-512 BF16");
  return names;
}

void GatherKernels(MachineReport& report) {
  const char* const forced = std::getenv("PLIMSOLL_KERNELS");
  const auto chosen = kernels::SelectKernelSet(forced == nullptr ? "" : forced);
  for (const kernels::KernelSet* set : kernels::AllKernelSets()) {
    report.kernels.push_back({.name = set->name,
                              .description = set->description,
                              .supported = set->supported(),
                              .chosen = chosen && *chosen == set});
  }
}

// Whether the file system lets this file be read past the page cache.
bool IsDirect(const std::shared_ptr<const io::File>& file) {
  auto reader = io::MakeReader({.depth = 1}, {.n_requests_max = 1});
  if (!reader) {
    return false;
  }
  const auto id = (*reader)->AddFile(file);
  return id && (*reader)->is_direct(*id);
}

void SetDisk(MachineReport& report, const Result<io::DiskSpeed>& speed) {
  if (speed) {
    report.disk = *speed;
    report.direct = speed->direct;
  } else {
    report.disk_not_measured = speed.error().message;
  }
}

Result<> GatherModelDisk(const path& model, const MachineReportOptions& options,
                         MachineReport& report) {
  auto catalogue = formats::OpenModel(model);
  if (!catalogue) {
    return Forward(catalogue);
  }
  const std::shared_ptr<const io::File>& file = catalogue->files.front();
  report.disk_path = file->path();
  report.direct = IsDirect(file);
  if (options.measure) {
    SetDisk(report, io::CachedDiskSpeed(file, {.anew = options.anew}));
  }
  return {};
}

// Of the folder where a user's models most likely are: the home folder's disk.
void GatherFolderDisk(const MachineReportOptions& options, MachineReport& report) {
  path folder = io::MeasurementCache::OfUser().folder();
  if (folder.empty()) {
    folder = std::filesystem::temp_directory_path();
  }
  report.disk_path = folder;
  if (options.measure) {
    SetDisk(report, io::CachedFolderSpeed(folder, {.anew = options.anew}));
  }
}

void GatherPeak(const MachineReportOptions& options, MachineReport& report) {
  const auto kernels = kernels::SelectKernelSet();
  if (!kernels) {
    report.peak_not_measured = kernels.error().message;
    return;
  }
  const auto peak = CachedPeak(**kernels, report.cores.n_usable,
                               PeakBufferBytes(report.default_line), options.anew);
  if (peak) {
    report.peak = *peak;
  } else {
    report.peak_not_measured = peak.error().message;
  }
}

void AdviseOnReads(const MachineReport& report, std::vector<std::string>& advice) {
  if (report.uring_refused) {
    advice.push_back(fmt::format(
        "io_uring is refused ({}), so reads go through threads and take about three times the "
        "processor "
        "time. {}",
        *report.uring_refused,
        report.uring_disabled.value_or(0) != 0 ? "Allow it: sysctl kernel.io_uring_disabled=0"
                                               : "In a container, allow it in the seccomp profile "
                                                 "(Docker: --security-opt seccomp=FILE)."));
  }
  if (!report.direct.value_or(true)) {
    advice.push_back(fmt::format(
        "{} ({}) is read through the page cache, which costs time and memory twice. Put models on "
        "ext4, xfs or btrfs; in a container on a volume, not in a layer.",
        report.disk_path.string(), report.file_system));
  }
  const auto& locked = report.limits.locked_bytes;
  if (!report.uring_refused && locked && !report.limits.may_pass_locked &&
      *locked < report.default_line) {
    advice.push_back(fmt::format(
        "Only {} of memory may be locked (ulimit -l), so {} of the memory for weights can be "
        "registered for reading; the rest costs more processor time a read. Raise it: "
        "LimitMEMLOCK=infinity for a service, --ulimit memlock=-1 for a container, or "
        "/etc/security/limits.conf.",
        FormatBytes(*locked), *locked < kChunkBytes ? "none" : "little"));
  }
}

void AdviseOnDisk(const MachineReport& report, std::vector<std::string>& advice) {
  if (!report.disk) {
    return;
  }
  const io::DiskSpeed& disk = *report.disk;
  if (disk.sustained < kBurstShare * disk.Peak()) {
    advice.push_back(fmt::format(
        "The disk gives {:.1f} GB/s for a moment and {:.1f} over a second: rented disks are held "
        "back. Plans count on the lower figure; a bigger disk or another class may lift it.",
        disk.Peak() / 1e9, disk.sustained / 1e9));
  }
  if (disk.sustained < kSlowDiskBytes) {
    advice.push_back(
        fmt::format("At {:.2f} GB/s every 4 MiB that a token misses cost {:.0f} ms: for models "
                    "bigger than the memory "
                    "a local NVMe drive is worth more than processors.",
                    disk.sustained / 1e9, 1e3 * static_cast<double>(4 * kMiB) / disk.sustained));
  }
}

void AdviseOnMemory(const MachineReport& report, std::vector<std::string>& advice) {
  if (report.huge_pages.transparent == "never") {
    advice.emplace_back(
        "Huge pages are off, which slows every pass over the weights, and reads from the disk by "
        "up to a half. Allow them to those who ask: "
        "echo "
        "madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  }
  if (report.pressure && report.pressure->some_percent >= kPressurePercent) {
    advice.push_back(fmt::format(
        "The machine is short of memory now: something stood still for {:.0f} % of the last ten "
        "seconds. Give --memory a smaller line, or stop something.",
        report.pressure->some_percent));
  }
  if (report.limits.address_bytes) {
    advice.push_back(fmt::format(
        "The address space is limited to {} (ulimit -v), which stops a program that maps more than "
        "it uses. Lift it, and limit memory with --memory.",
        FormatBytes(*report.limits.address_bytes)));
  }
  if (report.limits.open_files < kOpenFilesMin) {
    advice.push_back(
        fmt::format("Only {} files may be open (ulimit -n); a split model takes two "
                    "for each of its parts. Raise it to 1024.",
                    report.limits.open_files));
  }
}

void AdviseOnProcessor(const MachineReport& report, std::vector<std::string>& advice) {
  const auto is_fast = [](const MachineReport::Kernels& set) {
    return set.supported && set.name != "ref";
  };
  const bool has_fast = std::any_of(report.kernels.begin(), report.kernels.end(), is_fast);
  for (const MachineReport::Kernels& set : report.kernels) {
    if (set.chosen && set.name == "ref") {
      advice.emplace_back(has_fast
                              ? "PLIMSOLL_KERNELS forces the slow reference kernels."
                              : "This processor (or the virtual machine) shows no AVX2: only "
                                "the slow reference kernels run. A virtual machine may be told "
                                "to pass the processor through.");
    }
  }
  const size_t n_cores = report.cores.processors.size();
  if (report.cores.n_usable < n_cores) {
    advice.push_back(
        fmt::format("A quota allows {} of {} cores; more would speed up prompts first.",
                    report.cores.n_usable, n_cores));
  }
}

}  // namespace

Result<MachineReport> GatherMachineReport(const MachineReportOptions& options) {
  MachineReport report;
  report.processor = io::ProcessorName();
  report.features = ProcessorFeatures();
  report.cores = io::ReadCoreFacts();
  GatherKernels(report);
  report.memory = io::ReadMemoryFacts();
  report.default_line = io::DefaultMemoryLine(report.memory);
  report.pressure = io::ReadMemoryPressure();
  report.limits = io::ReadProcessLimits();
  report.huge_pages = io::ReadHugePages();
  if (const auto ring = io::ProbeUring(); !ring) {
    report.uring_refused = ring.error().message;
  }
  report.uring_disabled = io::ReadUringDisabled();
  if (!options.model) {
    GatherFolderDisk(options, report);
  } else if (auto gathered = GatherModelDisk(*options.model, options, report); !gathered) {
    return Forward(gathered);
  }
  report.file_system = io::FileSystemOf(report.disk_path);
  if (options.measure) {
    GatherPeak(options, report);
  }
  return report;
}

std::vector<std::string> AdviceOn(const MachineReport& report) {
  std::vector<std::string> advice;
  AdviseOnProcessor(report, advice);
  AdviseOnMemory(report, advice);
  AdviseOnReads(report, advice);
  AdviseOnDisk(report, advice);
  return advice;
}

}  // namespace plimsoll::bench
