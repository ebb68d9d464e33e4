#include "bench/machine_peak.h"

#include <gmock/gmock.h>

#include "base/bytes.h"
#include "kernels/peak_loops.h"
#include "memory/buffer.h"

namespace plimsoll::bench {
namespace {

TEST(MachinePeak, IsWhatNoMachineLacksAndNoneHas) {
  for (const size_t n_threads : {size_t{1}, size_t{3}}) {
    const auto peak = MeasurePeak(*kernels::SelectKernelSet().value(), n_threads, 64 * kMiB);
    ASSERT_TRUE(peak) << peak.error().message;
    EXPECT_GT(peak->read_bytes, 1e8);
    EXPECT_LT(peak->read_bytes, 1e13);
    for (const double rate : {peak->int8_dots, peak->fmas}) {
      EXPECT_GT(rate, 1e7);
      EXPECT_LT(rate, 1e15);
    }
  }
}

TEST(MachinePeak, RefusesABufferThatTheSystemHasNot) {
  const auto peak = MeasurePeak(*kernels::SelectKernelSet().value(), 1, uint64_t{1} << 60);
  ASSERT_FALSE(peak);
  EXPECT_EQ(peak.error().kind, ErrorKind::kDoesNotFit);
}

TEST(MachinePeak, ReadsMemoryThatIsThere) {
  memory::Ledger ledger(kGiB);
  auto buffer =
      memory::Buffer::Allocate(ledger, memory::Account::kScratch, PeakBufferBytes(0), "a test");
  ASSERT_TRUE(buffer);
  const double rate = MeasureReadRate(*kernels::SelectKernelSet().value(), 2, buffer->span());
  EXPECT_GT(rate, 1e8);
  EXPECT_LT(rate, 1e13);
}

TEST(PeakBuffer, StaysBelowTheLineButForTheFixedOverhead) {
  EXPECT_EQ(PeakBufferBytes(0), 64 * kMiB);
  EXPECT_EQ(PeakBufferBytes(100 * kMiB), 100 * kMiB);
  EXPECT_EQ(PeakBufferBytes(100 * kMiB + 1) % kernels::kPeakReadBytes, 0);
  EXPECT_GE(PeakBufferBytes(UINT64_MAX), 256 * kMiB);
  EXPECT_LE(PeakBufferBytes(UINT64_MAX), kGiB);
}

}  // namespace
}  // namespace plimsoll::bench
