// Injected faults over the real backends.
#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/faulty_backend.h"
#include "io/read_test_support.h"
#include "io/reader.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;

constexpr uint64_t kFileBytes = 1'000'003;

class ReaderFaultsTest : public testing::TestWithParam<BackendOptions> {
 protected:
  void SetUp() override {
    path_ = path(testing::TempDir()) / ("plimsoll_faults_" + std::to_string(::getpid()));
    WriteTestFile(path_, kFileBytes);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  void Make(const FaultPlan& plan) {
    auto backend = MakeBackend(GetParam());
    ASSERT_TRUE(backend) << backend.error().message;
    auto faulty = std::make_unique<FaultyBackend>(std::move(*backend), plan);
    faulty_ = faulty.get();
    reader_ =
        std::make_unique<Reader>(std::move(faulty), ReaderOptions{.segment_bytes = 16 * 1024});
    file_ = *reader_->AddFile(*File::Open(path_));
  }

  // Reads the file in slices of no round size; how many ended in each way.
  std::array<size_t, 4> ReadAll() {
    constexpr uint64_t kSlice = 50'021;
    std::vector<Frame> frames;
    std::vector<ReadRequest> requests;
    for (uint64_t at = 0; at < kFileBytes; at += kSlice) {
      const uint64_t bytes = std::min(kSlice, kFileBytes - at);
      const AlignedRange range = reader_->RangeOf(file_, at, bytes);
      frames.push_back(MakeFrame(range.bytes));
      requests.push_back({.file = file_,
                          .offset = at,
                          .bytes = bytes,
                          .frame = {frames.back().get(), range.bytes},
                          .tag = requests.size()});
      EXPECT_TRUE(reader_->Submit(requests.back()));
    }
    std::array<size_t, 4> outcomes = {};
    while (reader_->n_outstanding() > 0) {
      ReadCompletion completion;
      if (reader_->Wait({&completion, 1}, kPatience) == 0) {
        ADD_FAILURE() << "nothing came";
        break;
      }
      ++outcomes[static_cast<size_t>(completion.outcome)];
      if (completion.outcome == ReadOutcome::kDone) {
        EXPECT_TRUE(HoldsTestBytes(*reader_, requests[completion.tag]));
      }
    }
    return outcomes;
  }

  static constexpr size_t kSlices = 20;
  path path_;
  FaultyBackend* faulty_ = nullptr;
  std::unique_ptr<Reader> reader_;
  ReadFileId file_;
};

TEST_P(ReaderFaultsTest, ShortAndInterruptedReadsGoOn) {
  Make({});
  const uint64_t n_seeds = IsNight() ? 1000 : 8;
  for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
    const double share = DrawnShare(seed);
    faulty_->Change({.seed = seed,
                     .short_share = share,
                     .interrupted_share = share / 2,
                     .again_share = share / 2});
    EXPECT_EQ(ReadAll()[static_cast<size_t>(ReadOutcome::kDone)], kSlices) << "seed " << seed;
  }
  EXPECT_GT(reader_->stats().short_reads, 0U);
  EXPECT_GT(reader_->stats().interruptions, 0U);
}

TEST_P(ReaderFaultsTest, AnErrorAtEachNthReadIsOvercomeOrFailsOneRequest) {
  Make({});
  ReadAll();
  const uint64_t n_reads = faulty_->n_reads();
  ASSERT_GT(n_reads, kSlices);
  for (uint64_t n = 1; n <= n_reads; n += IsNight() ? 1U : 13U) {
    faulty_->Change({.error_at = n, .lasting = true});
    const auto outcomes = ReadAll();
    // Slices overlap in blocks, so that a bad block at a border fails both.
    const size_t n_failed = outcomes[static_cast<size_t>(ReadOutcome::kFailed)];
    EXPECT_TRUE(n_failed == 1 || n_failed == 2) << n_failed << " at read " << n;
    EXPECT_EQ(outcomes[static_cast<size_t>(ReadOutcome::kDone)], kSlices - n_failed);
  }
  faulty_->Change({.error_every = 5});
  EXPECT_EQ(ReadAll()[static_cast<size_t>(ReadOutcome::kDone)], kSlices);
}

TEST_P(ReaderFaultsTest, DirectIoThatIsRefusedAtTheReadIsReplaced) {
  Make({.error_at = 3, .error_number = EINVAL});
  const bool was_direct = reader_->is_direct(file_);
  EXPECT_EQ(ReadAll()[static_cast<size_t>(ReadOutcome::kDone)], kSlices);
  EXPECT_FALSE(reader_->is_direct(file_));
  EXPECT_EQ(reader_->stats().error_retries, was_direct ? 0U : 1U);
}

INSTANTIATE_TEST_SUITE_P(Backends, ReaderFaultsTest,
                         testing::Values(BackendOptions{.kind = BackendKind::kBest},
                                         BackendOptions{.kind = BackendKind::kThreads},
                                         BackendOptions{.kind = BackendKind::kThreads,
                                                        .direct = false}));

}  // namespace
}  // namespace plimsoll::io
