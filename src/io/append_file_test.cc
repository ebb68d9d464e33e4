#include "io/append_file.h"

#include <csignal>
#include <string>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/file.h"

namespace plimsoll::io {
namespace {

std::filesystem::path TestPath() {
  return std::filesystem::path(testing::TempDir()) /
         ("plimsoll_append_" + std::to_string(::getpid()));
}

TEST(AppendFile, WhatWasAppendedIsThere) {
  const auto path = TestPath();
  auto file = AppendFile::Create(path);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->Append(AsBytes("one ")));
  ASSERT_TRUE(file->Append(AsBytes("two")));
  EXPECT_EQ(ReadWhole(path, 100).value(), "one two");
  EXPECT_EQ(file->size(), 7U);
  std::filesystem::remove(path);
}

TEST(AppendFile, AFullDiskIsSaidAndLeavesWhatWasWhole) {
  const auto path = TestPath();
  auto file = AppendFile::Create(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Append(AsBytes("whole")));
  // The limit on a file's size stands for the disk: the write stops in the middle.
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit tight = {10, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto written = file->Append(AsBytes(std::string(100, 'x')));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);

  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::kIo);
  EXPECT_NE(written.error().message.find(path.string()), std::string::npos);
  EXPECT_EQ(ReadWhole(path, 100).value(), "whole");
  ASSERT_TRUE(file->Append(AsBytes(" again")));
  EXPECT_EQ(ReadWhole(path, 100).value(), "whole again");
  std::filesystem::remove(path);
}

TEST(AppendFile, AFolderThatIsNotThereIsNamed) {
  const auto file = AppendFile::Create("/nowhere/trace");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::kIo);
  EXPECT_NE(file.error().message.find("/nowhere/trace"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::io
