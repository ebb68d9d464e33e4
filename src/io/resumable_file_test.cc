#include "io/resumable_file.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "io/aligned_range.h"
#include "io/file.h"

namespace plimsoll::io {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ResumableFileTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_resumable_" + std::to_string(::getpid()));
  fs::path path_ = folder_ / "file";
  fs::path partial_ = folder_ / "file.partial";
};

TEST_F(ResumableFileTest, TheNameAppearsWhenAllOfItIsThere) {
  auto file = ResumableFile::Open(path_).value();
  EXPECT_EQ(file.size(), 0U);
  ASSERT_TRUE(file.Restart(8));
  ASSERT_TRUE(file.WriteAt(4, AsBytes("two.")));
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE(file.WriteAt(0, AsBytes("one ")));
  ASSERT_TRUE(file.Commit());
  EXPECT_EQ(ReadWhole(path_, 100).value(), "one two.");
  EXPECT_FALSE(fs::exists(partial_));
}

TEST_F(ResumableFileTest, WhatARunLeavesTheNextOneFinds) {
  {
    auto file = ResumableFile::Open(path_).value();
    ASSERT_TRUE(file.Restart(8));
    ASSERT_TRUE(file.WriteAt(2, AsBytes("left")));
  }
  EXPECT_FALSE(fs::exists(path_));
  auto file = ResumableFile::Open(path_).value();
  EXPECT_EQ(file.size(), 8U);
  std::string text(4, '\0');
  ASSERT_TRUE(file.ReadAt(2, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "left");
  EXPECT_THAT(file.ReadAt(6, std::as_writable_bytes(std::span(text))).error().message,
              HasSubstr("it ends there"));
  ASSERT_TRUE(file.Restart(4));
  ASSERT_TRUE(file.ReadAt(0, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, std::string(4, '\0'));
  file.Discard();
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ResumableFileTest, OneProcessAtATime) {
  std::optional<ResumableFile> first = ResumableFile::Open(path_).value();
  const auto second = ResumableFile::Open(path_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kFailed);
  EXPECT_THAT(second.error().message, HasSubstr("is being written by another process"));
  first.reset();
  EXPECT_TRUE(ResumableFile::Open(path_));
}

TEST_F(ResumableFileTest, ReplacesTheOldFileOnlyWhenItIsWhole) {
  for (const std::string_view text : {"old", "new"}) {
    auto file = ResumableFile::Open(path_).value();
    ASSERT_TRUE(file.Restart(3));
    ASSERT_TRUE(file.WriteAt(0, AsBytes(text)));
    EXPECT_EQ(fs::exists(path_), text == "new");
    ASSERT_TRUE(file.Commit());
    EXPECT_EQ(ReadWhole(path_, 100).value(), text);
  }
}

TEST_F(ResumableFileTest, WholeBlocksAndWhatIsBesideThemAllArrive) {
  constexpr uint64_t kBytes = 5 * kIoAlignment;
  std::string want(kBytes, '\0');
  for (size_t i = 0; i < kBytes; ++i) {
    want[i] = static_cast<char>(i % 251);
  }
  std::vector<std::byte> memory(kBytes + kIoAlignment);
  auto* aligned = reinterpret_cast<std::byte*>(
      AlignUp(reinterpret_cast<uintptr_t>(memory.data()), uintptr_t{kIoAlignment}));
  std::ranges::copy(AsBytes(want), aligned);
  auto file = ResumableFile::Open(path_).value();
  ASSERT_TRUE(file.Restart(kBytes));
  uint64_t begin = 0;
  for (const uint64_t end :
       {uint64_t{100}, 3 * kIoAlignment, 3 * kIoAlignment + 64, 5 * kIoAlignment - 1, kBytes}) {
    ASSERT_TRUE(file.WriteAt(begin, {aligned + begin, end - begin}));
    begin = end;
  }
  ASSERT_TRUE(file.Commit());
  EXPECT_EQ(ReadWhole(path_, kBytes).value(), want);
}

// The limit on a file's size stands for the disk.
TEST_F(ResumableFileTest, AFullDiskIsSaidBeforeAnythingIsWritten) {
  auto file = ResumableFile::Open(path_).value();
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit tight = {1000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto room = file.Restart(5000);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(room);
  EXPECT_EQ(room.error().kind, ErrorKind::kIo);
  EXPECT_THAT(room.error().message, HasSubstr("cannot make room for 4.88 KiB in"));
  EXPECT_THAT(room.error().message, HasSubstr("are free there"));
  EXPECT_EQ(fs::file_size(partial_), 0U);
}

TEST_F(ResumableFileTest, NamesAFolderThatIsNotThereAndWhatIsNoFile) {
  EXPECT_THAT(ResumableFile::Open("/nowhere/file").error().message,
              HasSubstr("cannot write /nowhere/file.partial"));
  fs::create_symlink("/etc/passwd", partial_);
  EXPECT_EQ(ResumableFile::Open(path_).error().kind, ErrorKind::kIo);
}

}  // namespace
}  // namespace plimsoll::io
