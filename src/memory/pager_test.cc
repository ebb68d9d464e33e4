// The pager over a disk in virtual time whose every byte is known.
#include "memory/pager.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "memory/policy/make_policy.h"

namespace plimsoll::memory {
namespace {

constexpr uint32_t kLayers = 3;
constexpr uint32_t kExperts = 8;
constexpr uint32_t kParts = 3;
constexpr uint64_t kPartBytes = 10'016;  // no whole blocks, as experts of a GGUF

struct Scene {
  uint32_t n_frames = 6;
  uint32_t n_frames_min = 2;
  std::string policy = "lru";
  uint64_t budget = kGiB;
  std::chrono::nanoseconds latency = std::chrono::microseconds(100);
  io::FaultPlan faults;
  std::function<std::optional<Error>(PageId, uint32_t, std::span<const std::byte>)> verify;
  std::function<void(size_t n, const std::function<void(size_t)>& task)> side_by_side;
};

class PagerTest : public testing::Test {
 protected:
  void Start(const Scene& scene) {
    pager_.reset();
    ledger_ = std::make_unique<Ledger>(scene.budget);
    const std::vector<uint32_t> n_pages(kLayers, kExperts);
    layout_ = std::make_unique<policy::PageLayout>(n_pages);
    auto disk = std::make_unique<io::FakeDisk>(
        io::FakeDiskOptions{.latency = scene.latency, .made_up = true}, clock_);
    auto reader = std::make_unique<io::Reader>(
        std::make_unique<io::FaultyBackend>(std::move(disk), scene.faults), io::ReaderOptions());
    file_ = *io::File::Placeholder("experts", kGiB);
    const auto id = reader->AddFile(file_);
    ASSERT_TRUE(id);
    PageHomes homes;
    homes.n_parts = kParts;
    for (uint32_t page = 0; page < layout_->n_pages(); ++page) {
      for (uint32_t part = 0; part < kParts; ++part) {
        homes.parts.push_back({*id, OffsetOf(page, part), kPartBytes});
      }
      homes.class_of.push_back(0);
    }
    homes.frame_bytes = {PageHomes::FrameBytes(homes.PartsOf({0}))};
    const uint32_t n_frames[] = {scene.n_frames};
    const uint32_t n_frames_min[] = {scene.n_frames_min};
    auto pager = Pager::Create(*ledger_, std::move(reader), std::move(homes), *layout_,
                               *policy::MakePolicy(scene.policy, *layout_), n_frames, n_frames_min,
                               {.stall_bound = std::chrono::seconds(5),
                                .read_ahead_bytes = 0,
                                .verify = scene.verify,
                                .side_by_side = scene.side_by_side});
    ASSERT_TRUE(pager) << pager.error().message;
    pager_ = std::move(*pager);
  }

  // The projections of a layer lie apart, as in a GGUF.
  static uint64_t OffsetOf(uint32_t page, uint32_t part) {
    return kMiB * (part + 1) + page * kPartBytes;
  }

  bool HoldsItsBytes(PageId page) const {
    std::vector<std::byte> expected(kPartBytes);
    for (uint32_t part = 0; part < kParts; ++part) {
      io::FakeBytes(0, OffsetOf(page.value, part), expected);
      if (std::memcmp(expected.data(), pager_->Data(page, part), kPartBytes) != 0) {
        return false;
      }
    }
    return true;
  }

  // Wants the pages of one layer and looks at each; the indices in the order in which they came.
  Result<std::vector<uint32_t>> Serve(const std::vector<PageId>& pages, WantOrder order,
                                      Phase phase = Phase::kDecode) {
    std::vector<uint32_t> experts;
    for (const PageId page : pages) {
      experts.push_back(page.value % kExperts);
    }
    pager_->Visit({.layer = pages.front().value / kExperts,
                   .step = ++step_,
                   .phase = phase,
                   .experts = experts,
                   .probabilities = {},
                   .near_experts = {},
                   .near_probabilities = {}});
    auto round = pager_->Want(pages, phase, order);
    std::vector<uint32_t> came;
    for (;;) {
      const auto ready = round.Next();
      if (!ready) {
        return tl::unexpected(ready.error());
      }
      if (ready->empty()) {
        return came;
      }
      for (const uint32_t i : *ready) {
        EXPECT_TRUE(HoldsItsBytes(pages[i])) << pages[i].value;
        came.push_back(i);
      }
      pager_->CheckInvariants();
    }
  }

  std::vector<PageId> Layer(uint32_t layer, const std::vector<uint32_t>& experts) const {
    std::vector<PageId> pages;
    for (const uint32_t expert : experts) {
      pages.push_back(layout_->page(layer, expert));
    }
    return pages;
  }

  io::VirtualClock clock_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<policy::PageLayout> layout_;
  std::shared_ptr<const io::File> file_;
  std::unique_ptr<Pager> pager_;
  uint64_t step_ = 0;
};

TEST_F(PagerTest, GivesOutWhatIsThereBeforeWhatIsRead) {
  Start({});
  ASSERT_TRUE(Serve(Layer(0, {4, 6}), WantOrder::kArrival));
  const auto came = Serve(Layer(0, {1, 4, 5, 6}), WantOrder::kArrival);
  ASSERT_TRUE(came) << came.error().message;
  EXPECT_EQ(came->size(), 4U);
  EXPECT_EQ((*came)[0], 1U);  // experts 4 and 6 were there
  EXPECT_EQ((*came)[1], 3U);
  const WantStats& stats = pager_->stats().of(Phase::kDecode);
  EXPECT_EQ(stats.wanted, 6U);
  EXPECT_EQ(stats.hits, 2U);
  EXPECT_EQ(stats.misses(), 4U);
  EXPECT_EQ(stats.bytes_read, 4 * kParts * kPartBytes);
}

TEST_F(PagerTest, KeepsTheGivenOrder) {
  Start({});
  ASSERT_TRUE(Serve(Layer(1, {6, 7}), WantOrder::kArrival));
  const auto came = Serve(Layer(1, {0, 2, 3, 5, 6, 7}), WantOrder::kGiven, Phase::kPrefill);
  ASSERT_TRUE(came) << came.error().message;
  EXPECT_EQ(*came, (std::vector<uint32_t>{0, 1, 2, 3, 4, 5}));
}

TEST_F(PagerTest, ALayerWithMorePagesThanFramesGoesThroughThem) {
  for (const uint32_t n_frames : {1U, 2U, 3U}) {
    Start({.n_frames = n_frames, .n_frames_min = 1});
    std::vector<uint32_t> all(kExperts);
    std::iota(all.begin(), all.end(), 0U);
    for (const WantOrder order : {WantOrder::kGiven, WantOrder::kArrival}) {
      for (uint32_t layer = 0; layer < kLayers; ++layer) {
        auto came = Serve(Layer(layer, all), order);
        ASSERT_TRUE(came) << came.error().message;
        std::ranges::sort(*came);
        EXPECT_EQ(*came, all);
      }
    }
  }
}

// Every frame holds a page that is wanted later than the first, which is missing.
TEST_F(PagerTest, GivesUpTheLastHitWhereAllFramesWaitForTheFirst) {
  Start({.n_frames = 3});
  ASSERT_TRUE(Serve(Layer(0, {5, 6, 7}), WantOrder::kArrival));
  const auto came = Serve(Layer(0, {1, 5, 6, 7}), WantOrder::kGiven);
  ASSERT_TRUE(came) << came.error().message;
  EXPECT_EQ(*came, (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(pager_->stats().of(Phase::kDecode).hits, 2U);
}

TEST_F(PagerTest, AReadThatFailsIsNamedAndTheNextWantTriesAgain) {
  Start({.faults = {.error_at = 1, .lasting = true}});
  const auto failed = Serve(Layer(0, {0, 3}), WantOrder::kArrival);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kIo);
  EXPECT_NE(failed.error().message.find("experts"), std::string::npos) << failed.error().message;
  pager_->CheckInvariants();
  EXPECT_TRUE(Serve(Layer(0, {1, 2, 3}), WantOrder::kArrival));
  EXPECT_FALSE(Serve(Layer(0, {0}), WantOrder::kArrival));
  EXPECT_EQ(pager_->stats().failures, 2U);
  EXPECT_FALSE(pager_->IsResident({0}));
}

TEST_F(PagerTest, BytesThatDoNotBelongThereAreNotUsed) {
  bool good = false;
  Start({.verify = [&](PageId page, uint32_t part, std::span<const std::byte> bytes) {
    const bool sound = good || page.value != 4 || part != 1 || bytes.empty();
    return sound ? std::nullopt : std::optional(Error{ErrorKind::kIo, "the checksum differs"});
  }});
  const auto refused = Serve(Layer(0, {3, 4}), WantOrder::kArrival);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("checksum"), std::string::npos);
  EXPECT_FALSE(pager_->IsResident({4}));
  good = true;
  EXPECT_TRUE(Serve(Layer(0, {3, 4}), WantOrder::kArrival));
}

TEST_F(PagerTest, PartsThatArriveTogetherAreLookedAtSideBySide) {
  size_t n_together = 0;
  std::vector<std::pair<uint32_t, uint32_t>> looked_at;
  Start({.verify =
             [&](PageId page, uint32_t part, std::span<const std::byte> bytes) {
               EXPECT_EQ(bytes.size(), kPartBytes);
               looked_at.emplace_back(page.value, part);
               const bool sound = page.value != 4 || part != 1;
               return sound ? std::nullopt : std::optional(Error{ErrorKind::kIo, "page 4 differs"});
             },
         .side_by_side =
             [&](size_t n, const std::function<void(size_t)>& task) {
               n_together += n;
               for (size_t i = n; i-- > 0;) {  // in any order
                 task(i);
               }
             }});
  pager_->Prefetch(Layer(0, {3, 4}));
  clock_.Advance(std::chrono::seconds(1));  // all are there when they are wanted
  const auto refused = Serve(Layer(0, {3, 4}), WantOrder::kArrival);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "page 4 differs");
  EXPECT_GT(n_together, 1U);
  for (const uint32_t part : {0U, 1U, 2U}) {
    EXPECT_EQ(std::ranges::count(looked_at, std::pair(3U, part)), 1) << part;
  }
  EXPECT_TRUE(pager_->IsResident({3}));
  EXPECT_FALSE(pager_->IsResident({4}));
  pager_->CheckInvariants();
}

TEST_F(PagerTest, ADiskThatDoesNotAnswerEndsTheWait) {
  Start({.latency = std::chrono::hours(1)});
  const auto stalled = Serve(Layer(0, {0}), WantOrder::kArrival);
  ASSERT_FALSE(stalled);
  EXPECT_NE(stalled.error().message.find("5 seconds"), std::string::npos)
      << stalled.error().message;
}

TEST_F(PagerTest, AGuessThatIsWantedIsJoinedAndOthersAreDropped) {
  Start({});
  pager_->Prefetch(Layer(1, {2, 3}));
  auto came = Serve(Layer(1, {2}), WantOrder::kArrival);
  ASSERT_TRUE(came);
  EXPECT_EQ(pager_->stats().of(Phase::kDecode).joined, 1U);
  EXPECT_EQ(pager_->stats().prefetched_used, 1U);
  pager_->DropPrefetches();
  EXPECT_TRUE(Serve(Layer(1, {3}), WantOrder::kArrival));
  pager_->CheckInvariants();
}

// Three defects that the simulation found.
TEST_F(PagerTest, AGuessAtAPageThatTheRoundHasNotBegunIsJoined) {
  Start({.n_frames = 3});
  const auto pages = Layer(1, {0, 1, 2, 3});
  std::vector<uint32_t> came;
  auto round = pager_->Want(pages, Phase::kPrefill, WantOrder::kGiven);
  for (auto ready = round.Next(); ready && !ready->empty(); ready = round.Next()) {
    came.insert(came.end(), ready->begin(), ready->end());
    pager_->Prefetch(std::span(pages).last(1));
    pager_->CheckInvariants();
  }
  EXPECT_EQ(came, (std::vector<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(pager_->stats().prefetched, 1U);
  EXPECT_EQ(pager_->stats().prefetched_used, 1U);
}

TEST_F(PagerTest, AJoinedReadIsGivenUpWhereTheOnlyFrameWaitsForTheFirst) {
  Start({.n_frames = 1, .n_frames_min = 1});
  pager_->Prefetch(Layer(1, {3}));
  const auto came = Serve(Layer(1, {0, 3}), WantOrder::kGiven, Phase::kPrefill);
  ASSERT_TRUE(came) << came.error().message;
  EXPECT_EQ(*came, (std::vector<uint32_t>{0, 1}));
  const WantStats& stats = pager_->stats().of(Phase::kPrefill);
  EXPECT_EQ(stats.joined, 0U);  // it was read again
  EXPECT_EQ(stats.misses(), 2U);
}

// More guesses than are begun at a time.
TEST_F(PagerTest, GuessesThatAreDroppedAreNoFailures) {
  Start({.n_frames = 20});
  pager_->Prefetch(Layer(1, {0, 1, 2, 3, 4, 5, 6, 7}));
  pager_->DropPrefetches();
  // One that was cancelled and is on its way back is wanted now: it is read after all.
  const auto came = Serve(Layer(1, {6, 7}), WantOrder::kArrival);
  ASSERT_TRUE(came) << came.error().message;
  EXPECT_EQ(came->size(), 2U);
  while (pager_->reader().n_outstanding() > 0) {
    clock_.Advance(std::chrono::milliseconds(1));
    pager_->Poll();
  }
  const PagerStats& stats = pager_->stats();
  EXPECT_EQ(stats.failures, 0U);
  EXPECT_EQ(stats.prefetched, 8U);
  EXPECT_EQ(stats.prefetched_used, 0U);
  EXPECT_GT(stats.prefetched_dropped, 0U);
  EXPECT_EQ(stats.of(Phase::kDecode).joined, 0U);
  EXPECT_EQ(stats.of(Phase::kDecode).misses(), 2U);
  pager_->CheckInvariants();
}

TEST_F(PagerTest, GrowsInSmallSteps) {
  Start({.n_frames = 2});
  for (uint32_t n = 2; n <= 20; ++n) {
    ASSERT_TRUE(pager_->Resize(0, n));
    EXPECT_EQ(pager_->n_frames(0), n);
  }
}

TEST_F(PagerTest, ShrinksAndGrowsWhileItLives) {
  Start({.n_frames = 20});
  const uint64_t before = ledger_->Snapshot().reserved_bytes;
  for (uint32_t layer = 0; layer < kLayers; ++layer) {
    ASSERT_TRUE(Serve(Layer(layer, {0, 1, 2, 3, 4, 5}), WantOrder::kArrival));
  }
  EXPECT_EQ(pager_->n_resident(), 18U);
  ASSERT_TRUE(pager_->Resize(0, 5));
  EXPECT_EQ(pager_->n_frames(0), 5U);
  EXPECT_EQ(pager_->n_resident(), 5U);
  EXPECT_LT(ledger_->Snapshot().reserved_bytes, before);
  pager_->CheckInvariants();
  EXPECT_TRUE(Serve(Layer(2, {3, 4, 5}), WantOrder::kArrival));  // what stayed is whole
  EXPECT_FALSE(pager_->Resize(0, 1));
  ASSERT_TRUE(pager_->Resize(0, 20));
  EXPECT_EQ(ledger_->Snapshot().reserved_bytes, before);
  EXPECT_TRUE(Serve(Layer(0, {0, 1, 2, 3, 4, 5}), WantOrder::kGiven));
}

TEST_F(PagerTest, AllIsGivenBack) {
  Start({});
  ASSERT_TRUE(Serve(Layer(0, {0, 1}), WantOrder::kArrival));
  pager_->Prefetch(Layer(1, {2, 3}));
  pager_.reset();
  EXPECT_EQ(ledger_->Snapshot().reserved_bytes, 0U);
}

TEST_F(PagerTest, ALineWithoutRoomForATokensPagesIsRefused) {
  Scene scene = {.n_frames = 6, .n_frames_min = 4, .budget = 100 * kKiB};
  ledger_ = std::make_unique<Ledger>(scene.budget);
  const std::vector<uint32_t> n_pages = {2};
  layout_ = std::make_unique<policy::PageLayout>(n_pages);
  auto reader = std::make_unique<io::Reader>(
      std::make_unique<io::FakeDisk>(io::FakeDiskOptions{.made_up = true}, clock_),
      io::ReaderOptions());
  file_ = *io::File::Placeholder("experts", kMiB);
  const auto id = *reader->AddFile(file_);
  PageHomes homes = {.n_parts = 1,
                     .parts = {{id, 0, kPartBytes}, {id, kPartBytes, kPartBytes}},
                     .class_of = {0, 0},
                     .frame_bytes = {40 * kKiB}};
  const uint32_t four[] = {4};
  const auto pager = Pager::Create(*ledger_, std::move(reader), std::move(homes), *layout_,
                                   *policy::MakePolicy("lru", *layout_), four, four, {});
  ASSERT_FALSE(pager);
  EXPECT_EQ(pager.error().kind, ErrorKind::kDoesNotFit);
}

}  // namespace
}  // namespace plimsoll::memory
