// A reader over a fake disk, for tests in virtual time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "io/read_test_support.h"
#include "io/reader.h"

namespace plimsoll::io {

class ReaderInVirtualTime : public testing::Test {
 protected:
  static constexpr uint64_t kPage = 64 * 1024;

  void Make(const ReaderOptions& options, const FakeDiskOptions& disk = {.made_up = true},
            const FaultPlan& faults = {}) {
    auto fake = std::make_unique<FakeDisk>(disk, clock_);
    disk_ = fake.get();
    auto faulty = std::make_unique<FaultyBackend>(std::move(fake), faults);
    faulty_ = faulty.get();
    reader_ = std::make_unique<Reader>(std::move(faulty), options);
    file_ = *reader_->AddFile(*File::Placeholder("fake", uint64_t{1} << 40));
    memory_ = MakeFrame(kMemory);
  }

  // Page `tag` of the file, with a frame of its own.
  ReadRequest Page(uint64_t tag, ReadClass read_class) const {
    return {.file = file_,
            .offset = tag * kPage,
            .bytes = kPage,
            .frame = {memory_.get() + tag * kPage, kPage},
            .read_class = read_class,
            .tag = tag};
  }
  ReadId Submit(uint64_t tag, ReadClass read_class) {
    const auto id = reader_->Submit(Page(tag, read_class));
    EXPECT_TRUE(id);
    return id.value_or(ReadId{});
  }

  // Everything that is outstanding, in order of completion.
  std::vector<ReadCompletion> Drain() {
    std::vector<ReadCompletion> all;
    while (reader_->n_outstanding() > 0) {
      ReadCompletion completion;
      if (reader_->Wait({&completion, 1}, std::chrono::hours(1)) == 0) {
        ADD_FAILURE() << "nothing came in an hour";
        break;
      }
      all.push_back(completion);
    }
    return all;
  }
  // Whether the page of a request that is done is what the disk makes up.
  [[nodiscard]] bool HoldsPage(uint64_t tag) const {
    std::vector<std::byte> expected(kPage);
    FakeBytes(file_.value, tag * kPage, expected);
    return std::memcmp(expected.data(), memory_.get() + tag * kPage, kPage) == 0;
  }
  static std::vector<uint64_t> Tags(const std::vector<ReadCompletion>& completions) {
    std::vector<uint64_t> tags;
    for (const ReadCompletion& completion : completions) {
      tags.push_back(completion.tag);
    }
    return tags;
  }

  static constexpr uint64_t kMemory = 256 * kPage;
  VirtualClock clock_;
  FakeDisk* disk_ = nullptr;
  FaultyBackend* faulty_ = nullptr;
  Frame memory_;  // outlives the reader
  std::unique_ptr<Reader> reader_;
  ReadFileId file_;
};

}  // namespace plimsoll::io
