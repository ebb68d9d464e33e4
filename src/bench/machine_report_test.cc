#include "bench/machine_report.h"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/bytes.h"

namespace plimsoll::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MachineReport GoodMachine() {
  MachineReport report;
  report.cores = {.processors = {0, 1}, .n_usable = 2};
  report.kernels = {{"ref", "plain", true, false}, {"avx2", "AVX2", true, true}};
  report.memory = {.total = 16 * kGiB, .available = 12 * kGiB};
  report.default_line = 11 * kGiB;
  report.pressure = io::MemoryPressure{};
  report.limits = {.locked_bytes = 64 * kGiB, .open_files = 1024};
  report.huge_pages = {.transparent = "madvise", .defragment = "madvise"};
  report.disk_path = "/models/m.gguf";
  report.file_system = "ext4";
  report.direct = true;
  report.disk = io::DiskSpeed{.direct = true, .cells = {{1 << 20, 8, 3e9}}, .sustained = 2.9e9};
  return report;
}

TEST(Advice, AGoodMachineNeedsNone) { EXPECT_THAT(AdviceOn(GoodMachine()), IsEmpty()); }

TEST(Advice, NamesEachFaultAndItsRemedy) {
  const auto only = [](auto change) {
    MachineReport report = GoodMachine();
    change(report);
    return AdviceOn(report);
  };
  EXPECT_THAT(only([](auto& r) { r.uring_refused = "EPERM"; }), ElementsAre(HasSubstr("seccomp")));
  EXPECT_THAT(only([](auto& r) {
                r.uring_refused = "EPERM";
                r.uring_disabled = 2;
              }),
              ElementsAre(HasSubstr("sysctl kernel.io_uring_disabled=0")));
  EXPECT_THAT(only([](auto& r) { r.direct = false; }),
              ElementsAre(HasSubstr("/models/m.gguf (ext4) is read through the page cache")));
  EXPECT_THAT(only([](auto& r) { r.direct.reset(); }), IsEmpty());
  EXPECT_THAT(only([](auto& r) { r.limits.locked_bytes = 8 * kMiB; }),
              ElementsAre(HasSubstr("Only 8.00 MiB of memory may be locked")));
  EXPECT_THAT(only([](auto& r) {
                r.limits.locked_bytes = 8 * kMiB;
                r.limits.may_pass_locked = true;
              }),
              IsEmpty());
  EXPECT_THAT(only([](auto& r) { r.limits.address_bytes = kGiB; }),
              ElementsAre(HasSubstr("ulimit -v")));
  EXPECT_THAT(only([](auto& r) { r.limits.open_files = 64; }), ElementsAre(HasSubstr("ulimit -n")));
  EXPECT_THAT(only([](auto& r) { r.huge_pages.transparent = "never"; }),
              ElementsAre(HasSubstr("echo madvise")));
  EXPECT_THAT(only([](auto& r) { r.pressure->some_percent = 40; }),
              ElementsAre(HasSubstr("40 % of the last ten seconds")));
  EXPECT_THAT(only([](auto& r) { r.disk->sustained = 1.2e9; }),
              ElementsAre(HasSubstr("3.0 GB/s for a moment and 1.2")));
  EXPECT_THAT(only([](auto& r) {
                r.disk->cells = {{1 << 20, 8, 2e8}};
                r.disk->sustained = 2e8;
              }),
              ElementsAre(HasSubstr("21 ms")));
  EXPECT_THAT(only([](auto& r) { r.cores.n_usable = 1; }), ElementsAre(HasSubstr("1 of 2 cores")));
  EXPECT_THAT(only([](auto& r) {
                r.kernels[0].chosen = true;
                r.kernels[1].chosen = false;
              }),
              ElementsAre(HasSubstr("PLIMSOLL_KERNELS")));
  EXPECT_THAT(only([](auto& r) {
                r.kernels[0].chosen = true;
                r.kernels[1] = {"avx2", "AVX2", false, false};
              }),
              ElementsAre(HasSubstr("no AVX2")));
}

TEST(MachineReport, FindsThisMachineWithoutMeasuring) {
  const auto report = GatherMachineReport(
      {.model = std::filesystem::path(PLIMSOLL_SOURCE_DIR) / "models/plimsoll-lab-q8_0.gguf",
       .measure = false});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->memory.total, 0U);
  EXPECT_GE(report->cores.n_usable, 1U);
  EXPECT_GE(report->kernels.size(), 1U);
  EXPECT_FALSE(report->file_system.empty());
  EXPECT_TRUE(report->direct.has_value());
  EXPECT_FALSE(report->disk);
  EXPECT_FALSE(report->peak);
  EXPECT_FALSE(GatherMachineReport({.model = "/no/such/model.gguf", .measure = false}));
}

TEST(CachedPeak, IsMeasuredOnce) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_peak_" + std::to_string(::getpid()));
  ::setenv("XDG_CACHE_HOME", folder.c_str(), 1);
  const auto& kernels = *kernels::SelectKernelSet().value();
  const auto first = CachedPeak(kernels, 1, 64 * kMiB);
  const auto second = CachedPeak(kernels, 1, 64 * kMiB);
  ::unsetenv("XDG_CACHE_HOME");
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->read_bytes, second->read_bytes);
  EXPECT_EQ(first->int8_dots, second->int8_dots);
  EXPECT_EQ(first->fmas, second->fmas);
}

}  // namespace
}  // namespace plimsoll::bench
