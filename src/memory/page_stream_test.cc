// Streamed pages over a disk in virtual time whose every byte is known.
#include "memory/page_stream.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "io/fake_disk.h"
#include "io/faulty_backend.h"

namespace plimsoll::memory {
namespace {

constexpr uint64_t kPageBytes = 100'032;  // no whole blocks, as tensors of a GGUF
constexpr uint32_t kPages = 12;
constexpr double kDiskBytesPerSecond = 1e9;

struct StreamScene {
  std::vector<uint64_t> page_bytes = std::vector<uint64_t>(kPages, kPageBytes);
  uint32_t n_at_once = 1;
  uint64_t budget = kGiB;
  io::FaultPlan faults;
};

class PageStreamTest : public testing::Test {
 protected:
  void Start(const StreamScene& scene) {
    stream_.reset();
    ledger_ = std::make_unique<Ledger>(scene.budget);
    auto disk = std::make_unique<io::FakeDisk>(
        io::FakeDiskOptions{.bytes_per_second = kDiskBytesPerSecond, .made_up = true}, clock_);
    disk_ = disk.get();
    auto faulty = std::make_unique<io::FaultyBackend>(std::move(disk), scene.faults);
    faulty_ = faulty.get();
    auto reader = std::make_unique<io::Reader>(std::move(faulty), io::ReaderOptions());
    file_ = *io::File::Placeholder("weights", kGiB);
    const auto id = reader->AddFile(file_);
    ASSERT_TRUE(id);
    pages_.clear();
    uint64_t at = 32;
    uint64_t most = 0;
    for (const uint64_t bytes : scene.page_bytes) {
      pages_.push_back({*id, at, bytes});
      at += bytes;
      most = std::max(most, PageStream::FrameBytes(bytes));
    }
    auto stream = PageStream::Create(
        *ledger_, std::move(reader), pages_,
        {.ring_bytes = 2 * most * scene.n_at_once, .stall_bound = std::chrono::seconds(5)});
    ASSERT_TRUE(stream) << stream.error().message;
    stream_ = std::move(*stream);
  }

  void ExpectBytesOf(uint32_t page) const {
    std::vector<std::byte> expected(pages_[page].bytes);
    io::FakeBytes(0, pages_[page].offset, expected);
    EXPECT_EQ(std::memcmp(expected.data(), stream_->Data(page), expected.size()), 0) << page;
  }

  Result<> Use(std::vector<uint32_t> pages) {
    auto used = stream_->Use(pages);
    for (size_t i = 0; used && i < pages.size(); ++i) {
      ExpectBytesOf(pages[i]);
    }
    return used;
  }

  void GoRound(uint32_t begin = 0, uint32_t end = kPages) {
    for (uint32_t page = begin; page < end; ++page) {
      const auto used = Use({page});
      ASSERT_TRUE(used) << used.error().message;
      clock_.Advance(compute_);
    }
    stream_->Release();
  }

  uint64_t TotalBytes() const {
    return std::accumulate(pages_.begin(), pages_.end(), uint64_t{0},
                           [](uint64_t sum, const PagePart& page) { return sum + page.bytes; });
  }

  io::VirtualClock clock_;
  std::chrono::nanoseconds compute_ = std::chrono::microseconds(20);  // with a page
  std::unique_ptr<Ledger> ledger_;
  std::shared_ptr<const io::File> file_;
  std::vector<PagePart> pages_;
  io::FakeDisk* disk_ = nullptr;
  io::FaultyBackend* faulty_ = nullptr;
  std::unique_ptr<PageStream> stream_;
};

TEST_F(PageStreamTest, ReadsEveryPageOnceARound) {
  Start({});
  GoRound();
  GoRound();
  EXPECT_EQ(stream_->stats().seeks, 0U);
  EXPECT_EQ(stream_->stats().bytes_used, 2 * TotalBytes());
  // What was read ahead of the third round is what the ring holds.
  EXPECT_LE(stream_->stats().bytes_read, 2 * TotalBytes() + 2 * kPageBytes);
}

TEST_F(PageStreamTest, KeepsTheDiskBusy) {
  Start({});
  GoRound();
  const auto begin = clock_.now();
  GoRound();
  GoRound();
  const double seconds = std::chrono::duration<double>(clock_.now() - begin).count();
  // A page takes five times as long to read as to work on.
  EXPECT_LT(seconds, 1.2 * 2 * static_cast<double>(TotalBytes()) / kDiskBytesPerSecond);
}

TEST_F(PageStreamTest, ReadsWhatItKeepsOnce) {
  Start({});
  ASSERT_TRUE(stream_->Keep(kPages / 2 * PageStream::FrameBytes(kPageBytes)));
  EXPECT_EQ(stream_->kept_bytes(), kPages / 2 * PageStream::FrameBytes(kPageBytes));
  GoRound();
  const uint64_t before = stream_->stats().bytes_read;
  GoRound();
  EXPECT_EQ(stream_->stats().bytes_read - before, TotalBytes() / 2);
}

TEST_F(PageStreamTest, NeedsNoDiskWhenAllIsKept) {
  Start({});
  ASSERT_TRUE(stream_->Keep(kGiB));
  GoRound();
  EXPECT_EQ(stream_->stats().bytes_read, TotalBytes());
  GoRound();
  EXPECT_EQ(stream_->stats().bytes_read, TotalBytes());
}

TEST_F(PageStreamTest, KeepsMoreAndLessWhileItRuns) {
  Start({});
  const uint64_t frame = PageStream::FrameBytes(kPageBytes);
  for (const uint64_t n : {3U, 9U, 1U, 12U, 0U, 5U}) {
    ASSERT_TRUE(stream_->Keep(n * frame));
    EXPECT_EQ(stream_->kept_bytes(), n * frame);
    const LedgerSnapshot ledger = ledger_->Snapshot();
    EXPECT_EQ(ledger.accounts[static_cast<size_t>(Account::kWeights)].bytes, n * frame + 2 * frame);
    GoRound();
  }
  stream_.reset();
  EXPECT_EQ(ledger_->Snapshot().reserved_bytes, 0U);
}

TEST_F(PageStreamTest, KeepsNothingWhereTheLedgerRefuses) {
  const uint64_t frame = PageStream::FrameBytes(kPageBytes);
  Start({.budget = 4 * frame + PageStream::TableBytes(kPages)});
  const auto kept = stream_->Keep(5 * frame);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_EQ(stream_->kept_bytes(), 0U);
  GoRound();
}

TEST_F(PageStreamTest, FollowsJumpsAndOtherCircles) {
  Start({.n_at_once = 2});
  ASSERT_TRUE(Use({0, 1}));
  ASSERT_TRUE(Use({5}));
  ASSERT_TRUE(Use({6, 7}));
  ASSERT_TRUE(Use({3}));
  EXPECT_EQ(stream_->stats().seeks, 2U);
  stream_->SetCircle(0, 4);
  GoRound(0, 4);
  GoRound(0, 4);
  stream_->SetCircle(0, kPages);
  GoRound();
  EXPECT_EQ(stream_->stats().seeks, 2U);
  stream_->SetCircle(8, kPages);
  GoRound(8, kPages);
  EXPECT_EQ(stream_->stats().seeks, 2U);
}

TEST_F(PageStreamTest, SaysWhatFailedAndGoesOnWhenItIsHealed) {
  Start({.faults = {.error_at = 5, .lasting = true}});
  Result<> used;
  for (uint32_t page = 0; used && page < kPages; ++page) {
    used = Use({page});
  }
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().kind, ErrorKind::kIo);
  EXPECT_NE(used.error().message.find("weights"), std::string::npos) << used.error().message;
  faulty_->Change({});
  GoRound();
}

TEST_F(PageStreamTest, EndsItsWaitAtADeadDisk) {
  Start({});
  disk_->SetSpeed(std::chrono::hours(1), kDiskBytesPerSecond);
  const auto used = Use({0});
  ASSERT_FALSE(used);
  EXPECT_NE(used.error().message.find("5 seconds"), std::string::npos) << used.error().message;
}

TEST_F(PageStreamTest, NamesAFileThatWasCutShort) {
  Start({});
  disk_->Truncate(0, pages_[4].offset);
  const auto used = Use({0});
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().kind, ErrorKind::kIo);
  EXPECT_NE(used.error().message.find("weights"), std::string::npos) << used.error().message;
}

// Sizes, groups, what is kept, jumps and faults drawn from a seed: the bytes are always right, and
// it ends.
TEST_F(PageStreamTest, GivesTheRightBytesWhateverHappens) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    uint64_t n_draws = 0;
    const auto draw = [&](uint64_t below) {
      return static_cast<uint64_t>(UniformAt(seed, n_draws++) * static_cast<double>(below));
    };
    StreamScene scene;
    scene.page_bytes.resize(2 + draw(30));
    for (uint64_t& bytes : scene.page_bytes) {
      bytes = 1 + draw(draw(4) == 0 ? 300'000 : 30'000);
    }
    const auto n_pages = static_cast<uint32_t>(scene.page_bytes.size());
    scene.n_at_once = static_cast<uint32_t>(1 + draw(std::min(3U, n_pages)));
    scene.faults = {.seed = seed,
                    .short_share = 0.1,
                    .interrupted_share = 0.1,
                    .again_share = 0.1,
                    .error_every = draw(2) == 0 ? uint64_t{0} : 3 + draw(50)};
    Start(scene);
    uint32_t position = 0;
    uint64_t n_failed = 0;
    for (uint32_t i = 0; i < 40; ++i) {
      if (draw(15) == 0) {
        position = static_cast<uint32_t>(draw(n_pages));
      }
      if (draw(20) == 0) {
        static_cast<void>(stream_->Keep(draw(2'000'000)));
      }
      std::vector<uint32_t> pages;
      for (uint64_t n = 1 + draw(scene.n_at_once); pages.size() < std::min<uint64_t>(n, n_pages);) {
        pages.push_back(position);
        position = (position + 1) % n_pages;
      }
      n_failed += Use(pages) ? 0U : 1U;
      clock_.Advance(std::chrono::microseconds(draw(2000)));
    }
    EXPECT_LE(n_failed, scene.faults.error_every == 0 ? 0U : faulty_->n_errors());
  }
}

TEST(ChooseKept, SpreadsWhatIsKeptOverTheCircle) {
  const std::vector<uint64_t> pages(100, 10);
  const std::vector<bool> kept = ChooseKept(pages, 255);
  EXPECT_EQ(std::ranges::count(kept, true), 25);
  for (size_t i = 0; i + 8 <= kept.size(); i += 8) {
    EXPECT_EQ(std::count(kept.begin() + static_cast<ptrdiff_t>(i),
                         kept.begin() + static_cast<ptrdiff_t>(i) + 8, true),
              2)
        << i;
  }
}

TEST(ChooseKept, FillsWhatIsLeftWithWhatFits) {
  const std::vector<uint64_t> pages = {100, 10, 100, 10};
  EXPECT_EQ(ChooseKept(pages, 9), (std::vector<bool>{false, false, false, false}));
  EXPECT_EQ(ChooseKept(pages, 25), (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(ChooseKept(pages, 220), (std::vector<bool>{true, true, true, true}));
}

}  // namespace
}  // namespace plimsoll::memory
