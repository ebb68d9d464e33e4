#include "kernels/peak_loops.h"

#include <chrono>
#include <cstring>

#include <gmock/gmock.h>

#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

class EverySet : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!GetParam()->supported()) {
      GTEST_SKIP() << GetParam()->name << " does not run on this CPU";
    }
  }
  [[nodiscard]] const PeakLoops& loops() const { return PeakLoopsOf(*GetParam()); }
};

TEST_P(EverySet, ReadsEveryByte) {
  constexpr size_t kBytes = 3 * kPeakReadBytes;
  testing::Buffer data(kBytes);
  std::memset(data.data(), 0, kBytes);
  EXPECT_EQ(loops().read(data.data(), kBytes), 0);
  for (const size_t at :
       {size_t{0}, kPeakReadBytes - 8, kPeakReadBytes, kBytes - 1024, kBytes - 8}) {
    const uint64_t value = 7;
    std::memcpy(data.data() + at, &value, sizeof value);
  }
  EXPECT_EQ(loops().read(data.data(), kBytes), 5 * 7);
}

TEST_P(EverySet, CountsTheWorkOfEveryRound) {
  EXPECT_GT(loops().int8_dots(1), 0);
  EXPECT_EQ(loops().int8_dots(100), 100 * loops().int8_dots(1));
  EXPECT_GT(loops().fmas(1), 0);
  EXPECT_EQ(loops().fmas(100), 100 * loops().fmas(1));
}

INSTANTIATE_TEST_SUITE_P(, EverySet,
                         ::testing::ValuesIn(AllKernelSets().begin(), AllKernelSets().end()),
                         [](const auto& tested) { return std::string(tested.param->name); });

}  // namespace
}  // namespace plimsoll::kernels
