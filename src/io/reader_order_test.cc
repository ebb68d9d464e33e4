// The rules of classes, limits and cancelling, on a fake disk in virtual time.
#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/reader.h"
#include "io/reader_in_virtual_time.h"

namespace plimsoll::io {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

class ReaderOrderTest : public ReaderInVirtualTime {};

TEST_F(ReaderOrderTest, ClassesGoStrictlyInOrder) {
  Make({.segments_in_flight_max = {1, 1, 1, 1, 1}});
  for (uint64_t i = 0; i < kNReadClasses; ++i) {
    Submit(2 * i, static_cast<ReadClass>(kNReadClasses - 1 - i));
    Submit(2 * i + 1, static_cast<ReadClass>(kNReadClasses - 1 - i));
  }
  EXPECT_EQ(Tags(Drain()), (std::vector<uint64_t>{8, 9, 6, 7, 4, 5, 2, 3, 0, 1}));
}

TEST_F(ReaderOrderTest, ADemandOvertakesTheRestOfALongRead) {
  Make({.segment_bytes = kPage, .segments_in_flight_max = {4, 4, 4, 2, 1}});
  ReadRequest stream = Page(100, ReadClass::kPrefill);
  stream.bytes = 64 * kPage;
  stream.frame = {memory_.get(), 64 * kPage};
  ASSERT_TRUE(reader_->Submit(stream));
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 4U);
  Submit(200, ReadClass::kDemand);
  ReadCompletion first;
  ASSERT_EQ(reader_->Wait({&first, 1}, 1h), 1U);
  EXPECT_EQ(first.tag, 200U);
  // The four segments before it, and not the 64.
  const double transfer = 5 * kPage / 2e9;
  EXPECT_LT(std::chrono::duration<double>(first.latency).count(), transfer + 250e-6);
  EXPECT_EQ(Tags(Drain()), std::vector<uint64_t>{100});
}

// Others who use the disk hear of what a token or a prompt waits for, until it has ended.
TEST_F(ReaderOrderTest, UrgentReadsAreTraffic) {
  Traffic traffic;
  Make({.traffic = &traffic}, {.made_up = true}, {.error_every = 2});
  Submit(1, ReadClass::kDemand);
  Submit(2, ReadClass::kPrefill);
  Submit(3, ReadClass::kRestore);
  Submit(4, ReadClass::kPrefetch);
  Submit(5, ReadClass::kBackground);
  reader_->Issue();
  EXPECT_EQ(traffic.n_urgent(), 2U);
  traffic.WaitForLull(1ms);  // has a bound
  Drain();
  EXPECT_EQ(traffic.n_urgent(), 0U);
  traffic.WaitForLull(1h);
}

TEST_F(ReaderOrderTest, LowerClassesLeaveRoomInTheQueue) {
  Make({.segments_in_flight_max = {8, 8, 4, 2, 1}});
  for (uint64_t i = 0; i < 20; ++i) {
    Submit(i, ReadClass::kPrefetch);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 2U);
  for (uint64_t i = 20; i < 40; ++i) {
    Submit(i, ReadClass::kRestore);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 2U + 4U);
  for (uint64_t i = 40; i < 60; ++i) {
    Submit(i, ReadClass::kDemand);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 8U) << "the depth of the queue";
  const auto tags = Tags(Drain());
  const auto end_of = [&](uint64_t tag) { return std::find(tags.begin(), tags.end(), tag); };
  EXPECT_LT(end_of(59), end_of(24)) << "of the restores only what was under way precedes";
  EXPECT_LT(end_of(39), end_of(2));
}

TEST_F(ReaderOrderTest, BytesUnderWayAreLimitedByClass) {
  Make({.segment_bytes = kPage,
        .segments_in_flight_max = {64, 64, 64, 64, 64},
        .bytes_in_flight_max = {6 * kPage, 12 * kPage, 4 * kPage, kPage, 1}});
  for (uint64_t i = 0; i < 20; ++i) {
    Submit(i, ReadClass::kBackground);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 1U);
  for (uint64_t i = 20; i < 40; ++i) {
    Submit(i, ReadClass::kPrefill);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 1U + 12U) << "a class counts those before it, not those behind";
  for (uint64_t i = 40; i < 50; ++i) {
    Submit(i, ReadClass::kDemand);
  }
  reader_->Issue();
  EXPECT_EQ(reader_->n_in_flight(), 1U + 12U + 6U);
  const auto tags = Tags(Drain());
  EXPECT_EQ(tags.size(), 50U);
  const auto end_of = [&](uint64_t tag) { return std::find(tags.begin(), tags.end(), tag); };
  EXPECT_LT(end_of(49), end_of(32)) << "of the stream only what was under way precedes";
  EXPECT_LT(end_of(39), end_of(1));
}

TEST_F(ReaderOrderTest, ADeepQueueReachesTheBandwidthAndAShallowOneWaits) {
  constexpr double kBytesPerSecond = 2e9;
  const auto rate = [&](uint32_t depth) {
    Make({.segments_in_flight_max = {depth, 1, 1, 1, 1}},
         {.latency = 200us, .bytes_per_second = kBytesPerSecond, .made_up = true});
    const nanoseconds begin = clock_.now();
    for (uint64_t i = 0; i < 100; ++i) {
      Submit(i, ReadClass::kDemand);
    }
    Drain();
    return 100 * kPage / std::chrono::duration<double>(clock_.now() - begin).count();
  };
  EXPECT_LT(rate(1), 0.2 * kBytesPerSecond);
  EXPECT_GT(rate(32), 0.9 * kBytesPerSecond);
}

TEST_F(ReaderOrderTest, ACancelledRequestEndsOnceWhateverOfItHadBegun) {
  Make({.segment_bytes = kPage, .segments_in_flight_max = {1, 1, 1, 1, 1}});
  ReadRequest large = Page(0, ReadClass::kDemand);
  large.bytes = 4 * kPage;
  large.frame = {memory_.get(), 4 * kPage};
  const ReadId begun = *reader_->Submit(large);
  const ReadId waiting = Submit(10, ReadClass::kDemand);
  const ReadId whole = Submit(11, ReadClass::kPrefill);
  reader_->Issue();
  reader_->Cancel(waiting);
  ReadCompletion completion;
  ASSERT_EQ(reader_->Poll({&completion, 1}), 1U) << "nothing of it is under way";
  EXPECT_EQ(completion.tag, 10U);
  EXPECT_EQ(completion.outcome, ReadOutcome::kCancelled);
  reader_->Cancel(begun);
  reader_->Cancel(begun);
  EXPECT_EQ(reader_->Poll({&completion, 1}), 0U) << "its frame is still written to";
  const auto rest = Drain();
  ASSERT_EQ(Tags(rest), (std::vector<uint64_t>{0, 11}));
  EXPECT_EQ(rest[0].outcome, ReadOutcome::kCancelled);
  EXPECT_EQ(rest[1].outcome, ReadOutcome::kDone);
  EXPECT_EQ(reader_->stats().segments, 2U) << "three segments of the large one never began";
  reader_->Cancel(whole);
  EXPECT_EQ(reader_->n_outstanding(), 0U);
  // The same slots serve other requests: an old id must not reach them.
  Submit(12, ReadClass::kDemand);
  Submit(13, ReadClass::kDemand);
  Submit(14, ReadClass::kDemand);
  for (const ReadId id : {begun, waiting, whole}) {
    reader_->Cancel(id);
  }
  for (const ReadCompletion& done : Drain()) {
    EXPECT_EQ(done.outcome, ReadOutcome::kDone);
  }
}

TEST_F(ReaderOrderTest, APromotedGuessIsReadWithTheDemands) {
  Make({.segments_in_flight_max = {1, 1, 1, 1, 1}});
  const ReadId guess = Submit(1, ReadClass::kPrefetch);
  Submit(2, ReadClass::kPrefetch);
  const ReadId last = Submit(3, ReadClass::kPrefetch);
  Submit(4, ReadClass::kDemand);
  Submit(5, ReadClass::kRestore);
  reader_->Promote(last, ReadClass::kDemand);
  reader_->Promote(guess, ReadClass::kBackground);  // never later
  EXPECT_EQ(Tags(Drain()), (std::vector<uint64_t>{4, 3, 5, 1, 2}));
  EXPECT_EQ(reader_->stats().classes[0].requests_done, 2U);
  reader_->Promote(last, ReadClass::kDemand);  // long over
  EXPECT_EQ(reader_->n_outstanding(), 0U);
}

TEST_F(ReaderOrderTest, AWaitEndsAtItsBound) {
  Make({}, {.latency = 10s, .made_up = true});
  Submit(0, ReadClass::kDemand);
  ReadCompletion completion;
  EXPECT_EQ(reader_->Wait({&completion, 1}, 3s), 0U);
  EXPECT_EQ(clock_.now(), 3s);
  EXPECT_EQ(reader_->Wait({&completion, 1}, 30s), 1U);
  EXPECT_GE(completion.latency, 10s);
}

}  // namespace
}  // namespace plimsoll::io
