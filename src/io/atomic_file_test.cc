#include "io/atomic_file.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/file.h"

namespace plimsoll::io {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("plimsoll_atomic_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] size_t Files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
};

TEST_F(AtomicFileTest, TheNameAppearsWithTheWholeFile) {
  const auto path = folder_ / "out";
  auto file = AtomicFile::Create(path);
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Append(AsBytes("abc")));
  ASSERT_TRUE(file->Append(AsBytes("def")));
  EXPECT_EQ(file->size(), 6U);
  EXPECT_FALSE(std::filesystem::exists(path));
  ASSERT_TRUE(file->Commit());
  EXPECT_EQ(*ReadWhole(path, 100), "abcdef");
  EXPECT_EQ(Files(), 1U);
}

TEST_F(AtomicFileTest, WithoutCommitTheOldFileStays) {
  const auto path = folder_ / "out";
  {
    auto first = AtomicFile::Create(path);
    ASSERT_TRUE(first->Append(AsBytes("old")));
    ASSERT_TRUE(first->Commit());
  }
  {
    auto second = AtomicFile::Create(path);
    ASSERT_TRUE(second->Append(AsBytes("new")));
  }
  EXPECT_EQ(*ReadWhole(path, 100), "old");
  EXPECT_EQ(Files(), 1U);
}

TEST_F(AtomicFileTest, AFolderThatIsNotThereIsNamed) {
  const auto file = AtomicFile::Create(folder_ / "none" / "out");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().kind, ErrorKind::kIo);
  EXPECT_NE(file.error().message.find("none/out"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::io
