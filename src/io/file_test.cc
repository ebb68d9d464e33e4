#include "io/file.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace plimsoll::io {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = std::filesystem::path(testing::TempDir()) /
            ("plimsoll_file_test_" + std::to_string(::getpid()));
    std::ofstream(path_) << "0123456789";
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static std::string Read(const File& file, uint64_t offset, size_t n) {
    std::string out(n, ' ');
    const auto read = file.ReadAt(offset, std::as_writable_bytes(std::span(out)));
    return read ? out : "error: " + read.error().message;
  }

  std::filesystem::path path_;
};

TEST_F(FileTest, ReadsInsideAndRefusesOutside) {
  const auto file = File::Open(path_);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 10U);
  EXPECT_EQ(Read(**file, 3, 4), "3456");
  EXPECT_NE(Read(**file, 8, 3).find("past its end"), std::string::npos);
  EXPECT_NE(Read(**file, UINT64_MAX, 1).find("past its end"), std::string::npos);
}

TEST_F(FileTest, WillNeedBringsARangeToThePageCache) {
  constexpr size_t kBytes = 1 << 20;
  std::ofstream(path_) << std::string(kBytes, 'x');
  const auto file = File::Open(path_);
  ASSERT_TRUE(file);
  const int fd = (*file)->descriptor();
  ASSERT_EQ(::fsync(fd), 0);
  ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
  void* const mapped = ::mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  (*file)->WillNeed(0, kBytes);
  const auto pages_there = [&] {
    std::array<unsigned char, kBytes / 4096> there = {};
    EXPECT_EQ(::mincore(mapped, kBytes, there.data()), 0);
    return std::ranges::count_if(there, [](unsigned char page) { return (page & 1) != 0; });
  };
  for (int i = 0; i < 1000 && pages_there() < 256; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(pages_there(), 256);
  ::munmap(mapped, kBytes);
  // Nothing to be had there.
  (*file)->WillNeed(kBytes, 1);
  (*file)->WillNeed(UINT64_MAX, UINT64_MAX);
  (*file)->WillNeed(0, 0);
}

TEST_F(FileTest, AWindowIsAFileOfItsOwn) {
  const auto file = File::OpenWindow(path_, 2, 5);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 5U);
  EXPECT_EQ(Read(**file, 0, 5), "23456");
  EXPECT_FALSE(File::OpenWindow(path_, 8, 5));
}

TEST_F(FileTest, TruncationAfterOpeningIsNamed) {
  const auto file = File::Open(path_);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path_, 4);
  EXPECT_NE(Read(**file, 2, 6).find("it was 10 bytes long when it was opened"), std::string::npos);
}

TEST_F(FileTest, WhatWasWrittenSinceIsNotGivenOut) {
  const auto file = File::Open(path_);
  ASSERT_TRUE(file);
  EXPECT_EQ(Read(**file, 0, 3), "012");
  std::ofstream(path_, std::ios::in | std::ios::out).write("x", 1);
  std::filesystem::last_write_time(
      path_, std::filesystem::last_write_time(path_) + std::chrono::seconds(1));
  EXPECT_NE(Read(**file, 5, 3).find("was written to since it was opened"), std::string::npos);
  std::filesystem::resize_file(path_, 9);
  EXPECT_NE(Read(**file, 0, 3).find("was cut short"), std::string::npos);
}

// The open file is whole, whatever its name leads to and whoever may open it.
TEST_F(FileTest, ReplacedRemovedOrForbiddenItIsStillRead) {
  const auto file = File::Open(path_);
  ASSERT_TRUE(file);
  std::filesystem::permissions(path_, std::filesystem::perms::none);
  EXPECT_EQ(Read(**file, 0, 3), "012");
  std::ofstream(path_.string() + ".new") << "ABCDEFGHIJ";
  std::filesystem::rename(path_.string() + ".new", path_);
  EXPECT_EQ(Read(**file, 3, 3), "345");
  std::filesystem::remove(path_);
  EXPECT_EQ(Read(**file, 6, 4), "6789");
}

TEST_F(FileTest, OnlyRegularFiles) {
  EXPECT_EQ(File::Open(testing::TempDir()).error().kind, ErrorKind::kBadModel);
  EXPECT_EQ(File::Open("/dev/zero").error().kind, ErrorKind::kBadModel);
  EXPECT_EQ(File::Open(path_.string() + ".missing").error().kind, ErrorKind::kIo);
  const std::string fifo = path_.string() + ".fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(File::Open(fifo).error().kind, ErrorKind::kBadModel);
  std::filesystem::remove(fifo);
}

TEST_F(FileTest, ReadWholeHasALimit) {
  EXPECT_EQ(*ReadWhole(path_, 10), "0123456789");
  EXPECT_EQ(ReadWhole(path_, 9).error().kind, ErrorKind::kBadModel);
}

TEST_F(FileTest, FromBytesNeedsNoPath) {
  const std::string bytes = "abcdef";
  const auto file = File::FromBytes("made up", std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 6U);
  EXPECT_EQ((*file)->name(), "made up");
  EXPECT_EQ(Read(**file, 2, 3), "cde");
  EXPECT_NE(Read(**file, 4, 3).find("past its end"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::io
