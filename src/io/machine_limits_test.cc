#include "io/machine_limits.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace plimsoll::io {
namespace {

using std::filesystem::path;

class MachineLimitsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = path(testing::TempDir()) / ("plimsoll_limits_" + std::to_string(::getpid()));
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const path& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }

  path root_;
};

TEST_F(MachineLimitsTest, PressureIsTheControlGroupsWhereThereIsOne) {
  EXPECT_FALSE(ReadMemoryPressure(root_));
  Write("proc/pressure/memory",
        "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\n"
        "full avg10=0.25 avg60=0.00 avg300=0.00 total=5\n");
  auto pressure = ReadMemoryPressure(root_);
  ASSERT_TRUE(pressure);
  EXPECT_EQ(pressure->some_percent, 1.5);
  EXPECT_EQ(pressure->full_percent, 0.25);
  EXPECT_EQ(pressure->some_us, 77U);
  EXPECT_EQ(pressure->full_us, 5U);
  Write("proc/self/cgroup", "0::/app\n");
  EXPECT_EQ(ReadMemoryPressure(root_)->some_us, 77U);
  Write("sys/fs/cgroup/app/memory.pressure", "some avg10=9.00 avg60=0 avg300=0 total=1234567\n");
  EXPECT_EQ(ReadMemoryPressure(root_)->some_us, 1234567U);
  Write("sys/fs/cgroup/app/memory.pressure", "some avg10=x\nfull total=1\nnonsense\n");
  EXPECT_EQ(ReadMemoryPressure(root_)->some_us, 77U);
}

TEST_F(MachineLimitsTest, StallsAreTheMachinesWhereItCountsThem) {
  EXPECT_FALSE(ReadMemoryStalledUs(root_));
  Write("proc/self/cgroup", "0::/app\n");
  Write("sys/fs/cgroup/app/memory.pressure", "some avg10=9.00 avg60=0 avg300=0 total=12\n");
  EXPECT_EQ(ReadMemoryStalledUs(root_), 12U);
  Write("proc/pressure/memory", "some avg10=1.50 avg60=0.00 avg300=0.00 total=77\n");
  EXPECT_EQ(ReadMemoryStalledUs(root_), 77U);
}

TEST_F(MachineLimitsTest, LimitsAreTheProcessesOwn) {
  const ProcessLimits limits = ReadProcessLimits(root_);
  EXPECT_FALSE(limits.may_pass_locked);
  EXPECT_GT(limits.open_files, 2U);
  rlimit locked = {};
  ASSERT_EQ(::getrlimit(RLIMIT_MEMLOCK, &locked), 0);
  EXPECT_EQ(limits.locked_bytes.value_or(RLIM_INFINITY), locked.rlim_cur);
  Write("proc/self/status", "Name:\tx\nCapEff:\t0000000000004000\n");
  EXPECT_TRUE(ReadProcessLimits(root_).may_pass_locked);
  Write("proc/self/status", "Name:\tx\nCapEff:\t0000000000003fff\n");
  EXPECT_FALSE(ReadProcessLimits(root_).may_pass_locked);
}

TEST_F(MachineLimitsTest, TheChosenWordIsInBrackets) {
  EXPECT_EQ(ReadHugePages(root_).transparent, "");
  Write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  Write("sys/kernel/mm/transparent_hugepage/defrag", "]always[\n");
  EXPECT_EQ(ReadHugePages(root_).transparent, "madvise");
  EXPECT_EQ(ReadHugePages(root_).defragment, "");
}

TEST_F(MachineLimitsTest, AnOldKernelHasNoSwitchForRings) {
  EXPECT_FALSE(ReadUringDisabled(root_));
  Write("proc/sys/kernel/io_uring_disabled", "2\n");
  EXPECT_EQ(ReadUringDisabled(root_), 2U);
}

TEST_F(MachineLimitsTest, NamesFileSystems) {
  EXPECT_EQ(FileSystemOf("/proc"), "0x9fa0");
  EXPECT_EQ(FileSystemOf(root_ / "missing"), "?");
  EXPECT_FALSE(FileSystemOf("/").empty());
}

}  // namespace
}  // namespace plimsoll::io
