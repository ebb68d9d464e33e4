#include "io/machine.h"

#include <cstring>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

// A root folder with the files that a test writes.
class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = path(testing::TempDir()) / ("plimsoll_machine_" + std::to_string(::getpid()));
    Write("proc/meminfo",
          "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const path& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }

  path root_;
};

TEST_F(MachineTest, WithoutAControlGroupTheMachineIsTheLimit) {
  const MemoryFacts facts = ReadMemoryFacts(root_);
  EXPECT_EQ(facts.total, 16 * kGiB);
  EXPECT_EQ(facts.available, 8 * kGiB);
  EXPECT_FALSE(facts.cgroup_limit);
  EXPECT_EQ(DefaultMemoryLine(facts), 8 * kGiB - 512 * kMiB);
}

TEST_F(MachineTest, Version2CountsNoCachedFilesAsUsed) {
  Write("proc/self/cgroup", "0::/app/web\n");
  Write("sys/fs/cgroup/app/web/memory.max", "max\n");
  Write("sys/fs/cgroup/app/memory.max", "4294967296\n");
  Write("sys/fs/cgroup/app/memory.current", "4000000000\n");
  Write("sys/fs/cgroup/app/memory.stat",
        "anon 5\ninactive_file 3000000000\nactive_file 500000000\n");
  const MemoryFacts facts = ReadMemoryFacts(root_);
  EXPECT_EQ(facts.cgroup_limit, 4 * kGiB);
  EXPECT_EQ(facts.cgroup_used, 500000000U);
  EXPECT_EQ(DefaultMemoryLine(facts), 4 * kGiB - 500000000U - 96 * kMiB);
}

TEST_F(MachineTest, TheGroupThatLeavesLeastCountsAndWhatOthersUseOfIt) {
  Write("proc/self/cgroup", "0::/pod/app/web\n");
  Write("proc/self/status", "VmRSS: 99 kB\nRssAnon:\t  204800 kB\n");
  Write("sys/fs/cgroup/pod/app/web/memory.max", "1073741824\n");
  Write("sys/fs/cgroup/pod/app/web/memory.current", "209715200\n");  // the process itself
  Write("sys/fs/cgroup/pod/app/memory.max", "1090519040\n");         // 16 MiB more
  Write("sys/fs/cgroup/pod/app/memory.current", "230686720\n");      // 20 MiB others
  Write("sys/fs/cgroup/pod/memory.max", "4294967296\n");
  Write("sys/fs/cgroup/pod/memory.current", "3221225472\n");
  Write("sys/fs/cgroup/pod/memory.stat", "inactive_file 3000000\nslab_reclaimable 145728\n");
  // The highest group has others in it, and leaves more.
  EXPECT_EQ(CgroupLine(ReadMemoryFacts(root_)), kGiB - 96 * kMiB);
  // Now it leaves less: 3 GiB are used of 3.5.
  Write("sys/fs/cgroup/pod/memory.max", "3758096384\n");
  const MemoryFacts facts = ReadMemoryFacts(root_);
  EXPECT_EQ(facts.cgroup_limit, 3584 * kMiB);
  EXPECT_EQ(facts.process_bytes, 200 * kMiB);
  EXPECT_EQ(facts.cgroup_others(), 3 * kGiB - 3145728 - 200 * kMiB);
  EXPECT_EQ(CgroupLine(facts), 512 * kMiB + 3 * kMiB + 200 * kMiB - kBesideLine);
  EXPECT_EQ(DefaultMemoryLine(facts), *CgroupLine(facts) - 32 * kMiB);
}

TEST_F(MachineTest, AParentsLimitCountsInVersion1Too) {
  Write("proc/self/cgroup", "5:memory:/box/inner\n");
  Write("sys/fs/cgroup/memory/box/inner/memory.limit_in_bytes", "2147483648\n");
  Write("sys/fs/cgroup/memory/box/inner/memory.usage_in_bytes", "2000000000\n");
  Write("sys/fs/cgroup/memory/box/inner/memory.stat", "total_inactive_file 2000000000\n");
  Write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
  Write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "100\n");
  EXPECT_EQ(ReadMemoryFacts(root_).cgroup_limit, kGiB);
  EXPECT_EQ(CgroupLine(ReadMemoryFacts(root_)), kGiB - 96 * kMiB);
}

TEST_F(MachineTest, AGroupThatIsSlowedDownAboveItsThresholdIsLimitedByIt) {
  Write("proc/self/cgroup", "0::/app\n");
  Write("sys/fs/cgroup/app/memory.max", "4294967296\n");
  Write("sys/fs/cgroup/app/memory.high", "max\n");
  EXPECT_EQ(ReadMemoryFacts(root_).cgroup_limit, 4 * kGiB);
  Write("sys/fs/cgroup/app/memory.high", "1073741824\n");
  EXPECT_EQ(ReadMemoryFacts(root_).cgroup_limit, kGiB);
}

TEST_F(MachineTest, ALineDrawnAnewKeepsWhatIsUnderIt) {
  MemoryFacts facts = {.total = 16 * kGiB, .available = 8 * kGiB};
  const uint64_t line = DefaultMemoryLine(facts);
  facts.available -= 6 * kGiB;  // which the process took
  EXPECT_EQ(DefaultMemoryLine(facts, 6 * kGiB), line);
  facts.cgroup_limit = 7 * kGiB;
  facts.cgroup_used = 6 * kGiB + 40 * kMiB;
  facts.process_bytes = 6 * kGiB + 3 * kMiB;
  EXPECT_EQ(DefaultMemoryLine(facts, 6 * kGiB), 7 * kGiB - 37 * kMiB - 96 * kMiB);
}

TEST_F(MachineTest, Version1IsReadToo) {
  Write("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/box\n0::/\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824\n");
  Write("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "100\n");
  const MemoryFacts facts = ReadMemoryFacts(root_);
  EXPECT_EQ(facts.cgroup_limit, kGiB);
  EXPECT_EQ(facts.cgroup_used, 100U);
  EXPECT_EQ(CgroupLine(facts), kGiB - 96 * kMiB);
  EXPECT_EQ(DefaultMemoryLine(facts), kGiB - 100 - 96 * kMiB);
}

TEST_F(MachineTest, ATinyLimitLeavesNothingRatherThanWrapping) {
  EXPECT_EQ(DefaultMemoryLine({.total = kGiB, .available = 100 * kMiB, .cgroup_limit = {}}), 0U);
  EXPECT_EQ(DefaultMemoryLine({.total = 8 * kGiB, .available = 8 * kGiB, .cgroup_limit = kMiB}),
            0U);
}

TEST_F(MachineTest, AMachineWithLessThanTheControlGroupAllowsIsTheLimit) {
  const MemoryFacts facts = {.total = 16 * kGiB, .available = kGiB, .cgroup_limit = 8 * kGiB};
  EXPECT_EQ(DefaultMemoryLine(facts), kGiB - 256 * kMiB);
}

TEST_F(MachineTest, SiblingsCountOnce) {
  const CoreFacts without_topology = ReadCoreFacts(root_);
  EXPECT_GE(without_topology.n_usable, 1U);
  EXPECT_EQ(without_topology.processors.size(), without_topology.n_usable);
  for (const uint32_t cpu : without_topology.processors) {
    Write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list",
          "0-1023\n");
  }
  const CoreFacts one_core = ReadCoreFacts(root_);
  EXPECT_EQ(one_core.n_usable, 1U);
  EXPECT_EQ(one_core.processors.size(), 1U);
  EXPECT_EQ(one_core.processors.front(), without_topology.processors.front());
}

TEST_F(MachineTest, AQuotaOfOneProcessorIsOneCore) {
  Write("proc/self/cgroup", "0::/app\n");
  Write("sys/fs/cgroup/app/cpu.max", "50000 100000\n");
  EXPECT_EQ(ReadCoreFacts(root_).n_usable, 1U);
}

TEST_F(MachineTest, NamesTheProcessor) {
  EXPECT_EQ(ProcessorName(root_), "");
  Write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU: fast\nmodel name\t: Another\n");
  EXPECT_EQ(ProcessorName(root_), "Some CPU: fast");
}

TEST(PeakMemory, HoldsTheMostUntilItIsForgotten) {
  constexpr size_t kBytes = 64 * kMiB;
  const uint64_t before = PeakMemory();
  ASSERT_GT(before, 0);
  void* const pages =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  std::memset(pages, 1, kBytes);
  ::munmap(pages, kBytes);
  const uint64_t peak = PeakMemory();
  EXPECT_LT(ResidentMemory(), peak);
  EXPECT_GT(ResidentMemory(), 0U);
  EXPECT_GE(peak, kBytes);
  if (!ForgetPeakMemory()) {
    GTEST_SKIP() << "the kernel keeps the peak of a process";
  }
  EXPECT_LE(PeakMemory(), peak - kBytes / 2);
}

}  // namespace
}  // namespace plimsoll::io
