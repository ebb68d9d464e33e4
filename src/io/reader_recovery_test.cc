// What a reader makes of faults, on a fake disk in virtual time.
#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/reader.h"
#include "io/reader_in_virtual_time.h"

namespace plimsoll::io {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

class ReaderRecoveryTest : public ReaderInVirtualTime {};

TEST_F(ReaderRecoveryTest, APassingErrorIsTriedAgainLater) {
  Make({}, {.made_up = true}, {.error_at = 1});
  Submit(5, ReadClass::kDemand);
  const auto done = Drain();
  EXPECT_EQ(done.at(0).outcome, ReadOutcome::kDone);
  EXPECT_GE(done.at(0).latency, kErrorPause);
  EXPECT_EQ(reader_->stats().error_retries, 1U);
  EXPECT_TRUE(HoldsPage(5));
}

TEST_F(ReaderRecoveryTest, ALastingErrorFailsItsRequestAloneAndSoon) {
  Make({.segment_bytes = kPage / 4}, {.made_up = true}, {.error_at = 7, .lasting = true});
  for (uint64_t i = 0; i < 10; ++i) {
    Submit(i, ReadClass::kDemand);
  }
  for (const ReadCompletion& completion : Drain()) {
    // Four segments a page: the seventh read is the third quarter of page 1.
    if (completion.tag != 1) {
      EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
      continue;
    }
    EXPECT_EQ(completion.outcome, ReadOutcome::kFailed);
    EXPECT_EQ(completion.error_number, EIO);
    EXPECT_EQ(completion.error_offset, kPage + kPage / 2);
    EXPECT_LT(completion.latency, 1s);
    const Error error = reader_->Describe(completion);
    EXPECT_EQ(error.kind, ErrorKind::kIo);
    EXPECT_NE(error.message.find("fake: cannot read at byte 98304"), std::string::npos)
        << error.message;
  }
  EXPECT_EQ(faulty_->n_errors(), 1U + kErrorRetries);
}

TEST_F(ReaderRecoveryTest, ADeadDiskFailsEverythingAndAHealedOneServesAgain) {
  Make({}, {.made_up = true}, {.error_every = 1});
  for (uint64_t i = 0; i < 50; ++i) {
    Submit(i, ReadClass::kDemand);
  }
  for (const ReadCompletion& completion : Drain()) {
    EXPECT_EQ(completion.outcome, ReadOutcome::kFailed);
  }
  EXPECT_LT(clock_.now(), 2s);
  faulty_->Change({});
  Submit(3, ReadClass::kDemand);
  EXPECT_EQ(Drain().at(0).outcome, ReadOutcome::kDone);
}

TEST_F(ReaderRecoveryTest, AFileCutShortWhileReadIsNoticed) {
  Make({.segment_bytes = kPage});
  ReadRequest large = Page(0, ReadClass::kDemand);
  large.bytes = 8 * kPage;
  large.frame = {memory_.get(), 8 * kPage};
  ASSERT_TRUE(reader_->Submit(large));
  reader_->Issue();
  disk_->Truncate(file_.value, 3 * kPage + 100);
  const auto done = Drain();
  EXPECT_EQ(done.at(0).outcome, ReadOutcome::kFileChanged);
  EXPECT_EQ(done.at(0).change, FileChange::kTruncated);
}

TEST_F(ReaderRecoveryTest, AnyMixtureOfFaultsEndsWithTheRightBytes) {
  const uint64_t n_seeds = IsNight() ? 1000 : 50;
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    Make({.n_requests_max = 64,
          .segment_bytes = kPage / 8,
          .segments_in_flight_max = {8, 8, 4, 2, 1}},
         {.seed = seed, .slow_share = 0.05, .made_up = true},
         {.seed = seed,
          .short_share = 0.3,
          .interrupted_share = 0.2,
          .again_share = 0.2,
          .error_every = 31});
    for (uint64_t i = 0; i < 24; ++i) {
      Submit(i, static_cast<ReadClass>((i * 7 + seed) % kNReadClasses));
    }
    for (const ReadCompletion& completion : Drain()) {
      ASSERT_EQ(completion.outcome, ReadOutcome::kDone) << "seed " << seed;
      ASSERT_TRUE(HoldsPage(completion.tag)) << "seed " << seed << ", page " << completion.tag;
    }
  }
}

// What short and interrupted reads cost.
TEST_F(ReaderRecoveryTest, AHundredthOfFaultyReadsCostsLessThanATenthOfTheTime) {
  const auto seconds = [&](const FaultPlan& faults) {
    const nanoseconds begin = clock_.now();
    Make({.segment_bytes = kPage}, {.made_up = true}, faults);
    for (uint64_t i = 0; i < kMemory / kPage; ++i) {
      Submit(i, ReadClass::kDemand);
    }
    Drain();
    return std::chrono::duration<double>(clock_.now() - begin).count();
  };
  const double clean = seconds({});
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    EXPECT_LE(
        seconds(
            {.seed = seed, .short_share = 0.01, .interrupted_share = 0.005, .again_share = 0.005}),
        1.1 * clean)
        << seed;
  }
}

// Errors that pass, and places that stay bad, under an owner who always wants something.
TEST_F(ReaderRecoveryTest, BurstsOfErrorsFailSoonAndAfterThemAllIsServed) {
  const nanoseconds length = IsNight() ? 60s : 1s;
  const uint64_t n_seeds = IsNight() ? 10 : 1;
  constexpr size_t kWanted = 16;
  for (const double share : {0.01, 0.1, 1.0}) {
    for (uint64_t seed = 1; seed <= 2 * n_seeds; ++seed) {
      Make({}, {.latency = 5ms, .bytes_per_second = 10e6, .made_up = true},
           {.seed = seed, .error_share = share, .lasting = seed % 2 == 0});
      uint64_t n_submitted = 0;
      uint64_t n_done = 0;
      const nanoseconds end = clock_.now() + length;
      while (clock_.now() < end) {
        while (reader_->n_outstanding() < kWanted) {
          Submit(n_submitted++ % (kMemory / kPage), ReadClass::kDemand);
        }
        ReadCompletion completion;
        ASSERT_EQ(reader_->Wait({&completion, 1}, 1h), 1U);
        EXPECT_LT(completion.latency, 2s);
        if (completion.outcome == ReadOutcome::kDone) {
          ++n_done;
          ASSERT_TRUE(HoldsPage(completion.tag));
        } else {
          ASSERT_EQ(completion.outcome, ReadOutcome::kFailed);
          EXPECT_EQ(completion.error_number, EIO);
        }
      }
      EXPECT_EQ(n_done == 0, share == 1.0);
      EXPECT_LE(faulty_->n_errors(), (1 + kErrorRetries) * reader_->stats().segments);
      faulty_->Change({});
      Drain();  // also what had failed before
      const nanoseconds healed = clock_.now();
      for (uint64_t i = 0; i < kWanted; ++i) {
        Submit(i, ReadClass::kDemand);
      }
      for (const ReadCompletion& completion : Drain()) {
        EXPECT_EQ(completion.outcome, ReadOutcome::kDone) << "seed " << seed;
      }
      EXPECT_LT(clock_.now() - healed, 1s);
    }
  }
}

// The frame of a request that was cancelled is the reader's until the slow disk has answered.
TEST_F(ReaderRecoveryTest, ALateAnswerToACancelledRequestIsWaitedFor) {
  Make({.segment_bytes = kPage / 4, .segments_in_flight_max = {3, 1, 1, 1, 1}},
       {.latency = 2s, .made_up = true}, {.error_at = 2});
  const ReadId id = Submit(3, ReadClass::kDemand);
  ReadCompletion completion;
  EXPECT_EQ(reader_->Wait({&completion, 1}, 1s), 0U);
  reader_->Cancel(id);
  EXPECT_EQ(reader_->Wait({&completion, 1}, 500ms), 0U) << "three of its reads are under way";
  const auto ended = Drain();
  ASSERT_EQ(ended.size(), 1U);
  EXPECT_EQ(ended[0].outcome, ReadOutcome::kCancelled);
  EXPECT_GE(clock_.now(), 2s);
  std::fill_n(memory_.get() + 3 * kPage, kPage, std::byte{0xA5});
  for (uint64_t i = 10; i < 20; ++i) {
    Submit(i, ReadClass::kDemand);
  }
  for (const ReadCompletion& done : Drain()) {
    EXPECT_EQ(done.outcome, ReadOutcome::kDone);
    EXPECT_TRUE(HoldsPage(done.tag));
  }
  EXPECT_TRUE(std::all_of(memory_.get() + 3 * kPage, memory_.get() + 4 * kPage,
                          [](std::byte b) { return b == std::byte{0xA5}; }));
}

}  // namespace
}  // namespace plimsoll::io
