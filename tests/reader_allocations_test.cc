// Reading allocates nothing once files and buffers are known, whichever backend reads.
#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "io/read_test_support.h"
#include "io/reader.h"
#include "tests/allocation_count.h"

namespace plimsoll::io {
namespace {

constexpr uint64_t kPage = 100'000;
constexpr uint64_t kPages = 40;

// Reads all pages, cancels some, and returns when everything has ended.
size_t ReadAll(Reader& reader, ReadFileId file, std::byte* memory, uint64_t frame_bytes) {
  std::array<ReadId, kPages> ids = {};
  for (uint64_t i = 0; i < kPages; ++i) {
    const auto id = reader.Submit({.file = file,
                                   .offset = i * kPage,
                                   .bytes = kPage,
                                   .frame = {memory + i * frame_bytes, frame_bytes},
                                   .read_class = static_cast<ReadClass>(i % kNReadClasses)});
    ids[i] = id.value_or(ReadId{});
  }
  reader.Issue();
  for (uint64_t i = 0; i < kPages; i += 7) {
    reader.Cancel(ids[i]);
  }
  size_t n_ended = 0;
  std::array<ReadCompletion, 8> completions;
  while (reader.n_outstanding() > 0) {
    const size_t n = reader.Wait(completions, kPatience);
    if (n == 0) {
      return 0;
    }
    n_ended += n;
  }
  return n_ended;
}

TEST(ReaderAllocations, NoneOnceItRuns) {
  const auto path = std::filesystem::path(testing::TempDir()) /
                    ("plimsoll_reader_allocations_" + std::to_string(::getpid()));
  WriteTestFile(path, kPages * kPage);
  const uint64_t frame_bytes = FrameBytesMax(kPage);
  const Frame memory = MakeFrame(kPages * frame_bytes);
  for (const BackendKind kind : {BackendKind::kBest, BackendKind::kThreads}) {
    const uint64_t before = NAllocations();
    auto reader = MakeReader({.kind = kind}, {.segment_bytes = 32 * 1024});
    ASSERT_TRUE(reader);
    const auto file = (*reader)->AddFile(*File::Open(path));
    ASSERT_TRUE(file);
    EXPECT_GT(NAllocations(), before) << "the counter counts";
    EXPECT_EQ(ReadAll(**reader, *file, memory.get(), frame_bytes), kPages);
    const uint64_t running = NAllocations();
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(ReadAll(**reader, *file, memory.get(), frame_bytes), kPages);
    }
    EXPECT_EQ(NAllocations() - running, 0U) << (*reader)->backend_name();
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace plimsoll::io
