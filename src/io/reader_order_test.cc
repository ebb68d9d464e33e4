// The rules of classes, limits, cancelling and retrying, on a fake disk in virtual time.
#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "io/read_test_support.h"
#include "io/reader.h"

namespace plimsoll::io {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr uint64_t kPage = 64 * 1024;

class ReaderOrderTest : public testing::Test {
 protected:
  void Make(const ReaderOptions& options, const FakeDiskOptions& disk = {.made_up = true},
            const FaultPlan& faults = {}) {
    auto fake = std::make_unique<FakeDisk>(disk, clock_);
    disk_ = fake.get();
    auto faulty = std::make_unique<FaultyBackend>(std::move(fake), faults);
    faulty_ = faulty.get();
    reader_ = std::make_unique<Reader>(std::move(faulty), options);
    file_ = *reader_->AddFile(*File::Placeholder("fake", uint64_t{1} << 40));
    memory_ = MakeFrame(kMemory);
  }

  // Page `tag` of the file, with a frame of its own.
  ReadRequest Page(uint64_t tag, ReadClass read_class) const {
    return {.file = file_,
            .offset = tag * kPage,
            .bytes = kPage,
            .frame = {memory_.get() + tag * kPage, kPage},
            .read_class = read_class,
            .tag = tag};
  }
  ReadId Submit(uint64_t tag, ReadClass read_class) {
    const auto id = reader_->Submit(Page(tag, read_class));
    EXPECT_TRUE(id);
    return id.value_or(ReadId{});
  }

  // Everything that is outstanding, in order of completion.
  std::vector<ReadCompletion> Drain() {
    std::vector<ReadCompletion> all;
    while (reader_->n_outstanding() > 0) {
      ReadCompletion completion;
      if (reader_->Wait({&completion, 1}, 3600s) == 0) {
        ADD_FAILURE() << "nothing came in an hour";
        break;
      }
      all.push_back(completion);
    }
    return all;
  }
  static std::vector<uint64_t> Tags(const std::vector<ReadCompletion>& completions) {
    std::vector<uint64_t> tags;
    for (const ReadCompletion& completion : completions) {
      tags.push_back(completion.tag);
    }
    return tags;
  }

  static constexpr uint64_t kMemory = 256 * kPage;
  VirtualClock clock_;
  FakeDisk* disk_ = nullptr;
  FaultyBackend* faulty_ = nullptr;
  Frame memory_;  // outlives the reader
  std::unique_ptr<Reader> reader_;
  ReadFileId file_;
};

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

TEST_F(ReaderOrderTest, APassingErrorIsTriedAgainLater) {
  Make({}, {.made_up = true}, {.error_at = 1});
  Submit(5, ReadClass::kDemand);
  const auto done = Drain();
  EXPECT_EQ(done.at(0).outcome, ReadOutcome::kDone);
  EXPECT_GE(done.at(0).latency, kErrorPause);
  EXPECT_EQ(reader_->stats().error_retries, 1U);
  std::vector<std::byte> expected(kPage);
  FakeBytes(0, 5 * kPage, expected);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), memory_.get() + 5 * kPage));
}

TEST_F(ReaderOrderTest, ALastingErrorFailsItsRequestAloneAndSoon) {
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

TEST_F(ReaderOrderTest, ADeadDiskFailsEverythingAndAHealedOneServesAgain) {
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

TEST_F(ReaderOrderTest, AFileCutShortWhileReadIsNoticed) {
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

TEST_F(ReaderOrderTest, AnyMixtureOfFaultsEndsWithTheRightBytes) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
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
      std::vector<std::byte> expected(kPage);
      FakeBytes(0, completion.tag * kPage, expected);
      ASSERT_TRUE(
          std::equal(expected.begin(), expected.end(), memory_.get() + completion.tag * kPage))
          << "seed " << seed << ", page " << completion.tag;
    }
  }
}

}  // namespace
}  // namespace plimsoll::io
