#include "memory/prefault.h"

#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "base/bytes.h"
#include "memory/buffer.h"

namespace plimsoll::memory {
namespace {

// Pages of it that are there.
uint64_t ResidentBytes(std::span<const std::byte> memory) {
  constexpr uint64_t kPage = 4096;
  std::vector<unsigned char> there(memory.size() / kPage);
  EXPECT_EQ(::mincore(const_cast<std::byte*>(memory.data()), memory.size(), there.data()), 0);
  uint64_t bytes = 0;
  for (const unsigned char page : there) {
    bytes += (page & 1) != 0 ? kPage : 0;
  }
  return bytes;
}

void WaitFor(const Prefault& prefault, uint64_t bytes) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (prefault.ready_bytes() < bytes && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class PrefaultTest : public testing::Test {
 protected:
  PrefaultTest() : ledger_(kGiB) {
    for (Buffer& buffer : buffers_) {
      auto memory = Buffer::Allocate(ledger_, Account::kExperts, 8 * kMiB, "test");
      EXPECT_TRUE(memory);
      buffer = std::move(*memory);
    }
  }

  Ledger ledger_;
  Buffer buffers_[2];
};

TEST_F(PrefaultTest, PreparesAsFarAheadAsItIsTold) {
  EXPECT_EQ(ResidentBytes(buffers_[0].span()), 0U);
  Prefault prefault({buffers_[1].span(), buffers_[0].span()}, 4 * kMiB);
  WaitFor(prefault, 4 * kMiB);
  if (prefault.ready_bytes() == 0) {
    GTEST_SKIP() << "this kernel has no MADV_POPULATE_WRITE";
  }
  EXPECT_EQ(prefault.ready_bytes(), 4 * kMiB);
  EXPECT_EQ(ResidentBytes(buffers_[0].span()), 0U);
  EXPECT_GE(ResidentBytes(buffers_[1].span()), 4 * kMiB);
  prefault.Use(6 * kMiB);
  WaitFor(prefault, 10 * kMiB);
  EXPECT_EQ(prefault.ready_bytes(), 10 * kMiB);
  EXPECT_EQ(ResidentBytes(buffers_[1].span()), 8 * kMiB);
  prefault.Use(16 * kMiB);
  WaitFor(prefault, 16 * kMiB);
  EXPECT_EQ(ResidentBytes(buffers_[0].span()), 8 * kMiB);
}

TEST_F(PrefaultTest, LeavesWhatIsThere) {
  for (std::byte& byte : buffers_[0].span()) {
    byte = std::byte{7};
  }
  Prefault prefault({buffers_[0].span()}, 8 * kMiB);
  WaitFor(prefault, 8 * kMiB);
  for (const std::byte byte : buffers_[0].span()) {
    ASSERT_EQ(byte, std::byte{7});
  }
}

TEST_F(PrefaultTest, EndsWhileItWaits) {
  const Prefault prefault({buffers_[0].span()}, 2 * kMiB);
  WaitFor(prefault, 2 * kMiB);
}

}  // namespace
}  // namespace plimsoll::memory
