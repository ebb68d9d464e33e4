// What a failing disk makes of a pass: the logits that they should be, or an error that says what
// happened; never a wrong one, and never a hang.
#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "tests/failing_model.h"
#include "tests/is_night.h"

namespace plimsoll::tests {
namespace {

using Way = std::tuple<Failing, const char*>;

std::string NameOfWay(const testing::TestParamInfo<Way>& way) {
  std::string name = std::get<0>(way.param) == Failing::kExperts ? "experts_" : "dense_";
  name += std::get<1>(way.param);
  std::ranges::replace(name, '-', '_');
  return name;
}

class PagedFaultsTest : public testing::TestWithParam<Way> {
 protected:
  PagedFaultsTest() : disk_{.failing = std::get<0>(GetParam()), .io = std::get<1>(GetParam())} {
    FailingModel sound({}, disk_);
    known_ = ThreeSequences(sound);
    n_reads_ = sound.disk().n_reads();
    is_direct_ = !disk_.io.ends_with("buffered");
  }

  FailingDisk disk_;
  std::vector<KnownSequence> known_;
  uint64_t n_reads_ = 0;
  bool is_direct_ = false;
};

// Shares from 0.01 to 0.5, small ones as often as large ones; in every other run some reads fail
// and are right when they are tried again.
TEST_P(PagedFaultsTest, ShortAndInterruptedReadsAndPassingErrorsChangeNothing) {
  FailingModel model({}, disk_);
  uint64_t n_errors = 0;
  const uint64_t n_seeds = !IsNight() ? 15 : is_direct_ ? 200 : 1000;
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    const double share = 0.01 * std::pow(50, UniformAt(seed, 0));
    model.disk().Change({.seed = seed,
                         .short_share = share,
                         .interrupted_share = share / 2,
                         .again_share = share / 2,
                         .error_every = seed % 2 == 0 ? 97U : 0U});
    const KnownSequence& known = known_[seed % known_.size()];
    const auto logits = model.Logits(known.tokens);
    ASSERT_TRUE(logits) << logits.error().message;
    ASSERT_TRUE(known.HasLogits(*logits)) << "seed " << seed;
    n_errors = model.disk().n_errors();
  }
  EXPECT_GT(n_errors, 0U);
}

// One place of the file cannot be read any more from the n-th read on, while three requests follow
// each other: the first that needs it fails; when somebody was told, the disk is sound again.
// Reads ahead that nobody comes to use may fail unnoticed, so that not every n fails a request.
TEST_P(PagedFaultsTest, ALastingErrorAtTheNthReadFailsOneRequestAndIsNamed) {
  ASSERT_GT(n_reads_, 100U);
  const uint64_t stride = !IsNight() ? n_reads_ / 7 : is_direct_ ? n_reads_ / 50 : 1;
  uint64_t n_tried = 0;
  uint64_t n_failed = 0;
  for (uint64_t n = 1; n <= n_reads_; n += stride) {
    FailingModel model({.error_at = n, .lasting = true}, disk_);
    ++n_tried;
    for (const KnownSequence& known : known_) {
      auto logits = model.Logits(known.tokens);
      if (!logits) {
        ++n_failed;
        ExpectNamesTheModel(logits.error());
        model.pager().CheckInvariants();
        model.disk().Change({});
        logits = model.Logits(known.tokens);
      }
      ASSERT_TRUE(logits) << logits.error().message;
      EXPECT_TRUE(known.HasLogits(*logits)) << "read " << n;
    }
  }
  EXPECT_LE(n_failed, n_tried);
  EXPECT_GT(n_failed, n_tried / 2);
  RecordProperty("reads", std::to_string(n_reads_));
  RecordProperty("failed", std::to_string(n_failed));
}

// By day through the page cache, where many small reads cost little; by night also past it, fewer.
std::vector<const char*> WaysOfReading() {
  std::vector<const char*> ways = {"buffered", "threads-buffered"};
  if (IsNight()) {
    ways.insert(ways.end(), {"best", "threads"});
  }
  return ways;
}

INSTANTIATE_TEST_SUITE_P(Ways, PagedFaultsTest,
                         testing::Combine(testing::Values(Failing::kExperts, Failing::kDense),
                                          testing::ValuesIn(WaysOfReading())),
                         NameOfWay);

TEST(PagedFaults, APatchPromptThatCannotBeReadForChangesNothing) {
  FailingModel sound({});
  const auto expected = sound.LogitsBehindALook(false);
  FailingModel failing({});
  EXPECT_EQ(failing.LogitsBehindALook(true), expected);
}

}  // namespace
}  // namespace plimsoll::tests
