// A disk that fails for a while, or is slow, under a model that goes on: in virtual time, so that
// every bound is exact.
#include <algorithm>
#include <chrono>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/failing_model.h"
#include "tests/is_night.h"

namespace plimsoll::tests {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr double kBytesPerSecond = 20e6;
constexpr nanoseconds kLatency = 2ms;

double Seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

class SlowDiskTest : public testing::TestWithParam<Failing> {
 protected:
  SlowDiskTest() {
    FailingModel sound({}, Disk());
    known_ = ThreeSequences(sound);
  }

  FailingDisk Disk(uint64_t seed = 1, double slow_share = 0, nanoseconds slow_extra = {}) {
    return {.failing = GetParam(),
            .clock = &clock_,
            .fake = {.latency = kLatency,
                     .bytes_per_second = kBytesPerSecond,
                     .seed = seed,
                     .slow_share = slow_share,
                     .slow_extra = slow_extra}};
  }

  io::VirtualClock clock_;
  std::vector<KnownSequence> known_;
};

// A hundredth of the reads fails, a tenth, or all: passing errors, or places that stay bad. A
// request fails at once or is right, and when the disk is well again the next one is right and
// takes as long as any.
TEST_P(SlowDiskTest, BurstsOfErrorsFailRequestsSoonAndNoneAfterThem) {
  const nanoseconds length = IsNight() ? 60s : 2s;
  const uint64_t n_seeds = IsNight() ? 4 : 1;
  for (const double share : {0.01, 0.1, 1.0}) {
    for (uint64_t seed = 1; seed <= 2 * n_seeds; ++seed) {
      FailingModel model({}, Disk());
      model.disk().Change({.seed = seed, .error_share = share, .lasting = seed % 2 == 0});
      uint64_t n_failed = 0;
      const nanoseconds end = clock_.now() + length;
      for (size_t i = 0; clock_.now() < end; ++i) {
        const KnownSequence& known = known_[i % known_.size()];
        nanoseconds last = clock_.now();
        const auto logits = model.Logits(known.tokens, [&] { last = clock_.now(); });
        if (logits) {
          ASSERT_TRUE(known.HasLogits(*logits)) << share << ", seed " << seed;
        } else {
          ++n_failed;
          ExpectNamesTheModel(logits.error());
          EXPECT_LT(clock_.now() - last, 2s);
        }
      }
      EXPECT_GT(model.disk().n_errors(), 0U);
      if (share == 1.0) {
        EXPECT_GT(n_failed, 0U);
      }
      model.disk().Change({});
      const nanoseconds healed = clock_.now();
      const auto logits = model.Logits(known_[0].tokens);
      ASSERT_TRUE(logits) << logits.error().message;
      EXPECT_TRUE(known_[0].HasLogits(*logits));
      EXPECT_LT(clock_.now() - healed, 5s);
    }
  }
}

// Up to two seconds more for a hundredth of the reads, and from the second request on a twentieth
// of the bandwidth. A token takes no longer than its reads, and those that were under way before,
// take one after another: nobody waits for anything else.
TEST_P(SlowDiskTest, SlowReadsAndLittleBandwidthDelayATokenByNoMoreThanItsReads) {
  const uint64_t n_seeds = IsNight() ? 300 : 3;
  uint64_t n_slow = 0;
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    const nanoseconds slow_extra(static_cast<int64_t>(2e9 * UniformAt(seed, 0)));
    FailingModel model({}, Disk(seed, 0.01, slow_extra));
    double bytes_per_second = kBytesPerSecond;
    for (const KnownSequence& known : known_) {
      nanoseconds begin = clock_.now();
      nanoseconds left = model.fake().busy_until();
      io::FakeDisk::Work before = model.fake().begun();
      const auto logits = model.Logits(known.tokens, [&] {
        const io::FakeDisk::Work after = model.fake().begun();
        const double bound =
            std::max(Seconds(left - begin), 0.0) +
            static_cast<double>(after.n_reads - before.n_reads) * Seconds(kLatency) +
            static_cast<double>(after.n_slow - before.n_slow) * Seconds(slow_extra) +
            static_cast<double>(after.bytes - before.bytes) / bytes_per_second;
        EXPECT_LE(Seconds(clock_.now() - begin), bound + 1e-6);
        begin = clock_.now();
        left = model.fake().busy_until();
        before = after;
      });
      ASSERT_TRUE(logits) << logits.error().message;
      EXPECT_TRUE(known.HasLogits(*logits)) << "seed " << seed;
      bytes_per_second = kBytesPerSecond / 20;
      model.fake().SetSpeed(kLatency, bytes_per_second);
    }
    n_slow += model.fake().begun().n_slow;
  }
  EXPECT_GT(n_slow, n_seeds);
}

INSTANTIATE_TEST_SUITE_P(Weights, SlowDiskTest, testing::Values(Failing::kExperts, Failing::kDense),
                         [](const auto& failing) {
                           return failing.param == Failing::kExperts ? "experts" : "dense";
                         });

}  // namespace
}  // namespace plimsoll::tests
