#include "io/file.h"

#include <chrono>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

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
