#include "io/direct_file.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/frame_memory.h"

namespace plimsoll::io {
namespace {

namespace fs = std::filesystem;

class DirectFileTest : public testing::Test {
 protected:
  DirectFileTest()
      : path_(fs::temp_directory_path() / fmt::format("plimsoll-direct-{}", ::getpid())) {
    fs::remove(path_);
  }
  ~DirectFileTest() override { fs::remove(path_); }

  fs::path path_;
};

TEST_F(DirectFileTest, AlignedAndUnalignedMemoryReadAndWriteTheSame) {
  const auto file = DirectFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  auto frame = FrameMemory::Allocate(3 * kIoAlignment);
  ASSERT_TRUE(frame);
  std::ranges::fill(frame->span(), std::byte{1});
  const auto odd = frame->span().subspan(1, kIoAlignment);
  std::ranges::fill(odd, std::byte{7});
  ASSERT_TRUE(file->WriteAt(2 * kIoAlignment, odd));
  const auto even = frame->span().subspan(2 * kIoAlignment, kIoAlignment);
  std::ranges::fill(even, std::byte{9});
  ASSERT_TRUE(file->WriteAt(0, even));
  ASSERT_TRUE(file->Sync());
  EXPECT_EQ(fs::file_size(path_), 3 * kIoAlignment);

  ASSERT_TRUE(file->ReadAt(2 * kIoAlignment, even));
  EXPECT_EQ(std::ranges::count(even, std::byte{7}), static_cast<ptrdiff_t>(kIoAlignment));
  ASSERT_TRUE(file->ReadAt(0, odd));
  EXPECT_EQ(std::ranges::count(odd, std::byte{9}), static_cast<ptrdiff_t>(kIoAlignment));
}

TEST_F(DirectFileTest, IsItsOwnersAloneAndEndsWhereItEnds) {
  const auto file = DirectFile::Open(path_);
  ASSERT_TRUE(file);
  struct stat status = {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  std::vector<std::byte> bytes(2 * kIoAlignment);
  ASSERT_TRUE(file->WriteAt(0, bytes));
  ASSERT_TRUE(file->Truncate(kIoAlignment));
  EXPECT_EQ(file->ReadAt(0, bytes).error().kind, ErrorKind::kIo);
  EXPECT_FALSE(DirectFile::Open(path_ / "below"));
}

}  // namespace
}  // namespace plimsoll::io
