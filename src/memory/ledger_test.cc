#include "memory/ledger.h"

#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "memory/buffer.h"

namespace plimsoll::memory {
namespace {

uint64_t Used(const Ledger& ledger, Account account) {
  return ledger.Snapshot().accounts[static_cast<size_t>(account)].bytes;
}

TEST(Ledger, GrantsUpToTheLineAndNoByteMore) {
  Ledger ledger(100);
  auto a = ledger.Reserve(Account::kKv, 60);
  ASSERT_TRUE(a);
  EXPECT_FALSE(ledger.Reserve(Account::kScratch, 41));
  EXPECT_FALSE(ledger.Reserve(Account::kScratch, UINT64_MAX));
  auto b = ledger.Reserve(Account::kScratch, 40);
  ASSERT_TRUE(b);
  EXPECT_EQ(ledger.available_bytes(), 0U);
  a->Release();
  EXPECT_EQ(ledger.available_bytes(), 60U);
  EXPECT_EQ(ledger.Snapshot().high_water_bytes, 100U);
}

TEST(Ledger, AReservationMovesAndIsGivenBackOnce) {
  Ledger ledger(100);
  {
    auto a = *ledger.Reserve(Account::kKv, 60);
    Reservation b = std::move(a);
    EXPECT_EQ(a.bytes(), 0U);  // NOLINT(bugprone-use-after-move): a moved-from one holds nothing
    EXPECT_EQ(b.bytes(), 60U);
    EXPECT_EQ(Used(ledger, Account::kKv), 60U);
    b = *ledger.Reserve(Account::kIo, 10);
    EXPECT_EQ(Used(ledger, Account::kKv), 0U);
  }
  EXPECT_EQ(ledger.available_bytes(), 100U);
}

TEST(Ledger, ConcurrentReservationsNeverPassTheLine) {
  Ledger ledger(1000);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        const auto r = ledger.Reserve(Account::kScratch, 300);
      }
    });
  }
  threads.clear();
  EXPECT_LE(ledger.Snapshot().high_water_bytes, 1000U);
  EXPECT_EQ(ledger.available_bytes(), 1000U);
}

TEST(Buffer, IsChargedAndNamesWhatDoesNotFit) {
  Ledger ledger(kMiB);
  const auto fits = Buffer::Allocate(ledger, Account::kWeights, kMiB / 2, "the weights");
  ASSERT_TRUE(fits);
  EXPECT_EQ(Used(ledger, Account::kWeights), kMiB / 2);
  const auto too_big = Buffer::Allocate(ledger, Account::kKv, kMiB, "the KV cache");
  ASSERT_FALSE(too_big);
  EXPECT_EQ(too_big.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_EQ(too_big.error().message,
            "the KV cache needs 1.00 MiB, and the line of 1.00 MiB has 512 KiB left");
}

TEST(Carver, CountsWhatItLaysOut) {
  Carver counting;
  EXPECT_TRUE(counting.Take<float>(3).empty());
  EXPECT_TRUE(counting.Take<uint32_t>(17).empty());
  EXPECT_EQ(counting.used(), 64U + 128U);
  std::vector<std::byte> memory(counting.used());
  Carver laying(memory);
  EXPECT_EQ(laying.Take<float>(3).size(), 3U);
  EXPECT_EQ(reinterpret_cast<std::byte*>(laying.Take<uint32_t>(17).data()), memory.data() + 64);
}

}  // namespace
}  // namespace plimsoll::memory
