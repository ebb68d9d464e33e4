#include "io/read_trouble.h"

#include <filesystem>
#include <fstream>
#include <functional>

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "io/reader.h"

namespace plimsoll::io {
namespace {

using std::chrono::milliseconds;

bool Soon(const std::function<bool()>& what) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!what() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  return what();
}

class ReadTroubleTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("plimsoll_read_trouble_test_" + std::to_string(::getpid()));
    std::ofstream(path_) << std::string(kBytes, 'x');
    file_ = *File::OpenWindow(path_, 100, kBytes - 100);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static constexpr uint64_t kBytes = 10'000;
  std::filesystem::path path_;
  std::shared_ptr<const File> file_;
};

TEST_F(ReadTroubleTest, AnyPlaceThatCanBeReadEndsIt) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{4096}, kBytes - 101}) {
    ReadTrouble trouble(milliseconds(1));
    EXPECT_FALSE(trouble.Now());
    trouble.Report(file_, offset, "cannot read");
    EXPECT_TRUE(Soon([&] { return !trouble.Now(); })) << offset;
  }
}

TEST_F(ReadTroubleTest, LastsWhileThePlaceCannotBeRead) {
  ReadTrouble trouble(milliseconds(1));
  trouble.Report(file_, file_->size(), "past the end");  // never comes
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(trouble.Now(), "past the end");
  trouble.Report(file_, 0, "for a moment");  // the last report counts
  EXPECT_TRUE(Soon([&] { return !trouble.Now(); }));
  trouble.Report(file_, 0, "once more");
  EXPECT_TRUE(Soon([&] { return !trouble.Now(); }));
}

TEST_F(ReadTroubleTest, LastsForAFileThatIsNotWhatItWas) {
  ReadTrouble trouble(milliseconds(1));
  std::filesystem::resize_file(path_, 50);
  trouble.Report(file_, 0, "cut short");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(trouble.Now(), "cut short");
}

TEST_F(ReadTroubleTest, ReadsForOneWhoWaits) {
  ReadTrouble trouble{std::chrono::hours(1)};
  std::array<std::byte, 10> bytes{};
  ASSERT_TRUE(trouble.ReadAt(file_, 7, bytes));
  EXPECT_EQ(bytes[9], std::byte{'x'});
  EXPECT_FALSE(trouble.Now());
  std::filesystem::resize_file(path_, 50);
  const auto failed = trouble.ReadAt(file_, 7, bytes);
  ASSERT_FALSE(failed);
  EXPECT_EQ(trouble.Now(), failed.error().message);
}

TEST_F(ReadTroubleTest, IsToldByAReaderOfWhatFailsForGood) {
  ReadTrouble trouble{std::chrono::hours(1)};
  VirtualClock clock;
  alignas(kIoAlignment) std::array<std::byte, kIoAlignment> frame;  // outlives the reader
  auto disk = std::make_unique<FakeDisk>(FakeDiskOptions{.made_up = true}, clock);
  Reader reader(
      std::make_unique<FaultyBackend>(std::move(disk), FaultPlan{.error_at = 2, .lasting = true}),
      {.trouble = &trouble});
  const auto id = reader.AddFile(*File::Placeholder("weights", 1 << 20));
  ASSERT_TRUE(id);
  std::array<ReadCompletion, 1> completions;
  for (const uint64_t block : {0U, 5U}) {
    EXPECT_FALSE(trouble.Now());
    ASSERT_TRUE(reader.Submit(
        {.file = *id, .offset = block * kIoAlignment, .bytes = kIoAlignment, .frame = frame}));
    ASSERT_EQ(reader.Wait(completions, std::chrono::seconds(9)), 1U);
  }
  ASSERT_EQ(completions[0].outcome, ReadOutcome::kFailed);
  EXPECT_EQ(trouble.Now(), reader.Describe(completions[0]).message);
}

TEST_F(ReadTroubleTest, IsToldOfWhatDoesNotCome) {
  ReadTrouble trouble{std::chrono::hours(1)};
  VirtualClock clock;
  alignas(kIoAlignment) std::array<std::byte, kIoAlignment> frame;  // outlives the reader
  Reader reader(std::make_unique<FakeDisk>(
                    FakeDiskOptions{.latency = std::chrono::hours(1), .made_up = true}, clock),
                {.trouble = &trouble});
  const auto id = reader.AddFile(*File::Placeholder("weights", 1 << 20));
  ASSERT_TRUE(id);
  reader.ReportOverdue();  // nothing is under way
  EXPECT_FALSE(trouble.Now());
  ASSERT_TRUE(reader.Submit({.file = *id, .offset = 0, .bytes = kIoAlignment, .frame = frame}));
  reader.Issue();
  reader.ReportOverdue();
  EXPECT_EQ(trouble.Now(), DescribeOverdue(kReadOverdue));
}

}  // namespace
}  // namespace plimsoll::io
