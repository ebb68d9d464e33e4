// What reader.h promises, over every real backend and real files.
#include "io/reader.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/read_test_support.h"

namespace plimsoll::io {
namespace {

using std::filesystem::path;
using namespace std::chrono_literals;

struct Setup {
  const char* name;
  BackendOptions backend;
};

class ReaderTest : public testing::TestWithParam<Setup> {
 protected:
  static constexpr uint64_t kFileBytes = 3'000'017;  // no multiple of anything

  void SetUp() override {
    path_ = path(testing::TempDir()) /
            ("plimsoll_reader_" + std::string(GetParam().name) + std::to_string(::getpid()));
    WriteTestFile(path_, kFileBytes);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  static std::unique_ptr<Reader> Make(const ReaderOptions& options = {}) {
    auto reader = MakeReader(GetParam().backend, options);
    EXPECT_TRUE(reader) << reader.error().message;
    return reader ? std::move(*reader) : nullptr;
  }

  static ReadFileId Add(Reader& reader, const path& file) {
    auto opened = File::Open(file);
    EXPECT_TRUE(opened);
    auto id = reader.AddFile(*opened);
    EXPECT_TRUE(id);
    return *id;
  }

  // Reads one range and returns its completion.
  static ReadCompletion ReadOne(Reader& reader, ReadFileId file, uint64_t offset, uint64_t bytes,
                                std::byte* frame, uint64_t frame_bytes) {
    EXPECT_TRUE(reader.Submit(
        {.file = file, .offset = offset, .bytes = bytes, .frame = {frame, frame_bytes}}));
    ReadCompletion completion;
    EXPECT_EQ(reader.Wait({&completion, 1}, kPatience), 1U);
    return completion;
  }

  path path_;
};

TEST_P(ReaderTest, AnyRangeLandsWhereTheArithmeticSays) {
  constexpr uint64_t kRanges = 200;
  const auto reader = Make({.segment_bytes = 64 * 1024});
  const ReadFileId file = Add(*reader, path_);
  std::vector<Frame> frames;
  std::vector<ReadRequest> requests;
  for (uint64_t i = 0; i < kRanges; ++i) {
    const auto random = Philox(7, i, 0);
    const uint64_t offset = random[0] % kFileBytes;
    const uint64_t bytes = 1 + random[1] % std::min<uint64_t>(kFileBytes - offset, 300'000);
    const AlignedRange range = reader->RangeOf(file, offset, bytes);
    EXPECT_LE(range.bytes, FrameBytesMax(bytes));
    frames.push_back(MakeFrame(range.bytes));
    requests.push_back({.file = file,
                        .offset = offset,
                        .bytes = bytes,
                        .frame = {frames.back().get(), range.bytes},
                        .read_class = static_cast<ReadClass>(i % kNReadClasses),
                        .tag = i});
    ASSERT_TRUE(reader->Submit(requests.back()));
  }
  std::vector<bool> seen(kRanges);
  while (reader->n_outstanding() > 0) {
    std::array<ReadCompletion, 16> completions;
    const size_t n = reader->Wait(completions, kPatience);
    ASSERT_GT(n, 0U);
    for (size_t i = 0; i < n; ++i) {
      const ReadCompletion& completion = completions[i];
      ASSERT_EQ(completion.outcome, ReadOutcome::kDone);
      ASSERT_FALSE(seen[completion.tag]);
      seen[completion.tag] = true;
      const ReadRequest& request = requests[completion.tag];
      ASSERT_TRUE(HoldsTestBytes(*reader, request));
    }
  }
  EXPECT_EQ(reader->n_in_flight(), 0U);
}

TEST_P(ReaderTest, AWindowCountsFromItsOwnBeginning) {
  const auto reader = Make();
  auto window = File::OpenWindow(path_, 100'001, 50'000);
  ASSERT_TRUE(window);
  auto file = reader->AddFile(*window);
  ASSERT_TRUE(file);
  const AlignedRange range = reader->RangeOf(*file, 49'990, 10);
  const Frame frame = MakeFrame(range.bytes);
  const auto completion = ReadOne(*reader, *file, 49'990, 10, frame.get(), range.bytes);
  EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(frame.get()[range.data_offset + i], ByteAt(149'991 + i));
  }
}

TEST_P(ReaderTest, ARangeOutsideTheFileFailsAlone) {
  const auto reader = Make();
  const ReadFileId file = Add(*reader, path_);
  const Frame frame = MakeFrame(8192);
  const auto outside = ReadOne(*reader, file, kFileBytes - 1, 2, frame.get(), 8192);
  EXPECT_EQ(outside.outcome, ReadOutcome::kFailed);
  EXPECT_NE(reader->Describe(outside).message.find(path_.filename().string()), std::string::npos);
  EXPECT_EQ(ReadOne(*reader, file, kFileBytes - 1, 1, frame.get(), 8192).outcome,
            ReadOutcome::kDone);
}

TEST_P(ReaderTest, ATruncatedFileIsNamed) {
  const auto reader = Make();
  const ReadFileId file = Add(*reader, path_);
  std::filesystem::resize_file(path_, 1'000'000);
  const Frame frame = MakeFrame(8192);
  for (const uint64_t offset : {2'000'000UL, 999'999UL, 5UL}) {
    const auto completion = ReadOne(*reader, file, offset, 4, frame.get(), 8192);
    EXPECT_EQ(completion.outcome, ReadOutcome::kFileChanged);
    EXPECT_EQ(completion.change, FileChange::kTruncated);
    const std::string message = reader->Describe(completion).message;
    EXPECT_NE(message.find("it had 3000017 bytes"), std::string::npos) << message;
  }
}

TEST_P(ReaderTest, AFileWrittenToIsNotTrusted) {
  const auto reader = Make();
  const ReadFileId file = Add(*reader, path_);
  std::filesystem::last_write_time(path_, std::filesystem::last_write_time(path_) - 5s);
  const Frame frame = MakeFrame(4096);
  const auto completion = ReadOne(*reader, file, 0, 4096, frame.get(), 4096);
  EXPECT_EQ(completion.outcome, ReadOutcome::kFileChanged);
  EXPECT_EQ(completion.change, FileChange::kModified);
}

TEST_P(ReaderTest, AFileReplacedOrRemovedIsStillServed) {
  const auto reader = Make();
  auto opened = File::Open(path_);
  ASSERT_TRUE(opened);
  auto file = reader->AddFile(*opened);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*opened)->IsReplaced());
  const std::string other = path_.string() + ".other";
  WriteTestFile(other, 10);
  std::filesystem::rename(other, path_);
  EXPECT_TRUE((*opened)->IsReplaced());
  std::filesystem::remove(path_);
  EXPECT_TRUE((*opened)->IsReplaced());
  const Frame frame = MakeFrame(4096);
  const auto completion = ReadOne(*reader, *file, 8192, 4096, frame.get(), 4096);
  EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
  EXPECT_EQ(frame.get()[17], ByteAt(8192 + 17));
}

TEST_P(ReaderTest, FullIsPressureAndEveryRequestEndsOnce) {
  const auto reader = Make({.n_requests_max = 3});
  const ReadFileId file = Add(*reader, path_);
  const Frame frame = MakeFrame(4 * 4096);
  ReadRequest request{.file = file, .bytes = 4096};
  for (uint64_t i = 0; i < 3; ++i) {
    request.offset = i * 4096;
    request.tag = i;
    request.frame = {frame.get() + i * 4096, 4096};
    EXPECT_TRUE(reader->Submit(request));
  }
  EXPECT_FALSE(reader->Submit(request));
  EXPECT_EQ(reader->n_outstanding(), 3U);
  uint64_t tags = 0;
  for (int i = 0; i < 3; ++i) {
    ReadCompletion completion;
    ASSERT_EQ(reader->Wait({&completion, 1}, kPatience), 1U);
    EXPECT_EQ(completion.outcome, ReadOutcome::kDone);
    tags |= 1U << completion.tag;
  }
  EXPECT_EQ(tags, 7U);
  ReadCompletion none;
  EXPECT_EQ(reader->Wait({&none, 1}, kPatience), 0U) << "nothing is left to wait for";
  EXPECT_TRUE(reader->Submit(request));
}  // and a reader that goes with a request under way waits for it

// Cancelled at once, a moment later, or by the end of its reader.
TEST_P(ReaderTest, NothingIsWrittenToAFrameOnceItsRequestHasEnded) {
  constexpr uint64_t kBytes = 512 * 1024;
  constexpr std::byte kPoison{0xA5};
  const ReaderOptions options = {.segment_bytes = 64 * 1024,
                                 .segments_in_flight_max = {2, 1, 1, 1, 1}};
  const Frame cancelled = MakeFrame(kBytes);
  const Frame other = MakeFrame(kBytes);
  auto reader = Make(options);
  ReadFileId file = Add(*reader, path_);
  const uint64_t n_rounds = IsNight() ? 3000 : 21;
  for (uint64_t round = 0; round < n_rounds; ++round) {
    const auto id = reader->Submit(
        {.file = file, .bytes = kBytes, .frame = {cancelled.get(), kBytes}, .tag = 1});
    ASSERT_TRUE(id);
    reader->Issue();
    std::this_thread::sleep_for(
        std::chrono::microseconds(round % 4 == 0 ? 0U : Philox(3, round, 0)[0] % 200));
    if (round % 3 == 2) {
      reader = nullptr;
      reader = Make(options);
      file = Add(*reader, path_);
    } else {
      reader->Cancel(*id);
      ReadCompletion completion;
      ASSERT_EQ(reader->Wait({&completion, 1}, kPatience), 1U);
    }
    std::fill_n(cancelled.get(), kBytes, kPoison);
    EXPECT_EQ(ReadOne(*reader, file, 4096, kBytes, other.get(), kBytes).outcome,
              ReadOutcome::kDone);
    const auto* const end = cancelled.get() + kBytes;
    ASSERT_EQ(std::find_if(static_cast<const std::byte*>(cancelled.get()), end,
                           [](std::byte b) { return b != kPoison; }),
              end);
  }
}

// No more is under way than the ring has places for, and its results have room until someone looks.
TEST_P(ReaderTest, ASmallRingAndAnOwnerThatSeldomLooksLoseNothing) {
  constexpr uint64_t kRequests = 300;
  BackendOptions backend = GetParam().backend;
  const Frame frames = MakeFrame(kRequests * 4096);
  for (const uint32_t depth : {1U, 3U, 8U}) {
    backend.depth = depth;
    auto reader = MakeReader(backend, {.segment_bytes = 4096});
    ASSERT_TRUE(reader);
    const ReadFileId file = Add(**reader, path_);
    std::vector<ReadRequest> requests;
    for (uint64_t i = 0; i < kRequests; ++i) {
      requests.push_back({.file = file,
                          .offset = i * 8192,
                          .bytes = 4096,
                          .frame = {frames.get() + i * 4096, 4096},
                          .tag = i});
      ASSERT_TRUE((*reader)->Submit(requests.back()));
    }
    uint64_t n_done = 0;
    while ((*reader)->n_outstanding() > 0) {
      (*reader)->Issue();
      EXPECT_LE((*reader)->n_in_flight(), depth);
      std::this_thread::sleep_for(20us);
      std::array<ReadCompletion, 16> completions;
      const size_t n = (*reader)->Wait(completions, kPatience);
      ASSERT_GT(n, 0U);
      for (size_t i = 0; i < n; ++i) {
        ++n_done;
        ASSERT_EQ(completions[i].outcome, ReadOutcome::kDone);
        EXPECT_TRUE(HoldsTestBytes(**reader, requests[completions[i].tag]));
      }
    }
    EXPECT_EQ(n_done, kRequests);
  }
}

std::vector<Setup> Setups() {
  return {{"uring", {.kind = BackendKind::kUring}},
          {"uring_buffered", {.kind = BackendKind::kUring, .direct = false}},
          {"threads", {.kind = BackendKind::kThreads}},
          {"threads_buffered", {.kind = BackendKind::kThreads, .direct = false}}};
}

INSTANTIATE_TEST_SUITE_P(Backends, ReaderTest, testing::ValuesIn(Setups()),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace plimsoll::io
