#include "io/file_stream.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace plimsoll::io {
namespace {

constexpr FileStreamOptions kSmall = {.buffer_bytes = 8192, .n_buffers = 3};

// A file on a disk with every byte told by its place.
class TestFile {
 public:
  explicit TestFile(uint64_t bytes)
      : path_(std::filesystem::path(testing::TempDir()) /
              ("plimsoll_stream_" + std::to_string(::getpid()))) {
    std::string text;
    for (uint64_t i = 0; i < bytes; ++i) {
      text += static_cast<char>(At(i));
    }
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~TestFile() { std::filesystem::remove(path_); }
  static std::byte At(uint64_t i) { return static_cast<std::byte>(i * 31 + i / 256 * 7); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void ExpectRanges(FileStream& stream, const std::vector<FileStream::Range>& ranges) {
  stream.Start(ranges);
  for (const FileStream::Range& range : ranges) {
    for (uint64_t at = range.offset; at < range.offset + range.bytes;) {
      const auto chunk = stream.Next();
      ASSERT_TRUE(chunk) << chunk.error().message;
      ASSERT_TRUE(chunk->has_value());
      ASSERT_EQ((*chunk)->offset, at);
      const auto bytes = (*chunk)->bytes;
      ASSERT_FALSE(bytes.empty());
      at += bytes.size();
      ASSERT_TRUE(at % kSmall.buffer_bytes == 0 || at == range.offset + range.bytes);
      for (size_t i = 0; i < bytes.size(); ++i) {
        ASSERT_EQ(bytes[i], TestFile::At((*chunk)->offset + i));
      }
    }
  }
  EXPECT_FALSE(stream.Next().value().has_value());
  EXPECT_FALSE(stream.Next().value().has_value());
}

TEST(FileStream, GivesRangesInOrder) {
  const TestFile file(100'000);
  for (const bool direct : {true, false}) {
    FileStreamOptions options = kSmall;
    options.backend.direct = direct;
    const auto stream = FileStream::Create(options).value();
    const auto id = stream->AddFile(File::Open(file.path()).value()).value();
    ExpectRanges(*stream, {{id, 0, 100'000}});
    ExpectRanges(*stream, {{id, 8191, 2}, {id, 5, 0}, {id, 50'000, 30'000}, {id, 99'999, 1}});
    ExpectRanges(*stream, {});
  }
}

TEST(FileStream, ReadsWindowsThatBeginAnywhere) {
  const TestFile file(100'000);
  const auto stream = FileStream::Create(kSmall).value();
  const auto window = File::OpenWindow(file.path(), 1000, 50'000).value();
  const auto id = stream->AddFile(window).value();
  stream->Start({{id, 0, 50'000}});
  uint64_t at = 0;
  while (true) {
    const auto chunk = stream->Next().value();
    if (!chunk) {
      break;
    }
    for (size_t i = 0; i < chunk->bytes.size(); ++i, ++at) {
      ASSERT_EQ(chunk->bytes[i], TestFile::At(1000 + at));
    }
  }
  EXPECT_EQ(at, 50'000U);
}

TEST(FileStream, NamesAFileThatWasCutShort) {
  const TestFile file(100'000);
  const auto stream = FileStream::Create(kSmall).value();
  const auto id = stream->AddFile(File::Open(file.path()).value()).value();
  std::filesystem::resize_file(file.path(), 20'000);
  stream->Start({{id, 0, 100'000}});
  Result<std::optional<FileStream::Chunk>> chunk;
  do {
    chunk = stream->Next();
  } while (chunk && chunk->has_value());
  ASSERT_FALSE(chunk);
  EXPECT_EQ(chunk.error().kind, ErrorKind::kIo);
  EXPECT_THAT(chunk.error().message, testing::HasSubstr("was cut short"));
}

}  // namespace
}  // namespace plimsoll::io
