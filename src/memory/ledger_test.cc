#include "memory/ledger.h"

#include <random>
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

TEST(Ledger, AFloorKeepsRoomThatNoOtherAccountCanTake) {
  Ledger ledger(100);
  ASSERT_TRUE(ledger.SetLimits(Account::kKv, {.floor_bytes = 30}));
  EXPECT_EQ(ledger.available_bytes(), 70U);
  EXPECT_EQ(ledger.available_bytes(Account::kKv), 100U);
  EXPECT_EQ(ledger.Snapshot().kept_bytes, 30U);
  EXPECT_FALSE(ledger.Reserve(Account::kExperts, 71));
  auto experts = ledger.Reserve(Account::kExperts, 70);
  ASSERT_TRUE(experts);
  auto kv = ledger.Reserve(Account::kKv, 20);
  ASSERT_TRUE(kv);
  EXPECT_EQ(ledger.Snapshot().kept_bytes, 10U);  // the rest of the floor
  EXPECT_FALSE(ledger.Reserve(Account::kExperts, 1));
  EXPECT_FALSE(ledger.SetBudget(99));  // the floor is part of what stays
  kv->Release();
  EXPECT_EQ(ledger.available_bytes(Account::kExperts), 0U);  // given back to the floor
  experts->Release();
  ASSERT_TRUE(ledger.SetBudget(30));
  EXPECT_FALSE(ledger.SetBudget(29));
  EXPECT_FALSE(ledger.SetLimits(Account::kIo, {.floor_bytes = 1}));
  ASSERT_TRUE(ledger.SetLimits(Account::kKv, {}));
  EXPECT_TRUE(ledger.SetLimits(Account::kIo, {.floor_bytes = 1}));
}

TEST(Ledger, ACeilingHoldsAnAccountBelowTheLine) {
  Ledger ledger(100);
  ASSERT_TRUE(ledger.SetLimits(Account::kPrefix, {.floor_bytes = 10, .ceiling_bytes = 40}));
  auto prefix = ledger.Reserve(Account::kPrefix, 40);
  ASSERT_TRUE(prefix);
  EXPECT_FALSE(ledger.Reserve(Account::kPrefix, 1));
  EXPECT_EQ(ledger.available_bytes(Account::kPrefix), 0U);
  EXPECT_EQ(ledger.available_bytes(), 60U);
  // Not below what it has, nor below its own floor.
  EXPECT_FALSE(ledger.SetLimits(Account::kPrefix, {.ceiling_bytes = 39}));
  EXPECT_FALSE(ledger.SetLimits(Account::kKv, {.floor_bytes = 2, .ceiling_bytes = 1}));
  EXPECT_EQ(ledger.Snapshot().of(Account::kPrefix).limits.ceiling_bytes, 40U);
}

// The sum of what is reserved and kept never passes the line, whatever order limits, reservations
// and budgets come in.
TEST(Ledger, RandomLimitsAndReservationsKeepTheBooks) {
  std::mt19937_64 bits(7);
  const auto below = [&](uint64_t n) { return bits() % n; };
  Ledger ledger(1000);
  std::vector<Reservation> held;
  size_t n_granted = 0;
  size_t n_limits = 0;
  size_t n_budgets = 0;
  for (int step = 0; step < 20000; ++step) {
    const auto account = static_cast<Account>(below(3));
    switch (below(5)) {
      case 0:
        n_limits += ledger.SetLimits(
            account, {.floor_bytes = below(400), .ceiling_bytes = 200 + below(800)});
        break;
      case 1:
        n_budgets += ledger.SetBudget(500 + below(1000));
        break;
      case 2:
        if (!held.empty()) {
          held.erase(held.begin() + static_cast<ptrdiff_t>(below(held.size())));
        }
        break;
      default: {
        const uint64_t available = ledger.available_bytes(account);
        const uint64_t bytes = below(300);
        auto reservation = ledger.Reserve(account, bytes);
        ASSERT_EQ(reservation.has_value(), bytes <= available);
        if (reservation) {
          ++n_granted;
          held.push_back(std::move(*reservation));
        }
      }
    }
    const LedgerSnapshot at = ledger.Snapshot();
    ASSERT_LE(at.reserved_bytes + at.kept_bytes, at.budget_bytes);
    uint64_t sum = 0;
    for (const AccountUsage& usage : at.accounts) {
      ASSERT_LE(usage.bytes, usage.limits.ceiling_bytes);
      sum += usage.bytes;
    }
    ASSERT_EQ(sum, at.reserved_bytes);
  }
  EXPECT_GT(n_granted, 1000U);
  EXPECT_GT(n_limits, 1000U);
  EXPECT_GT(n_budgets, 1000U);
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

// Blocks of keys and values that nobody uses are shown as the prefix cache's.
TEST(Ledger, WhatIsLentStaysTheLendersRoom) {
  Ledger ledger(1000);
  ASSERT_TRUE(ledger.SetLimits(Account::kKv, {.floor_bytes = 600, .ceiling_bytes = 800}));
  auto kv = ledger.Reserve(Account::kKv, 600);
  ASSERT_TRUE(kv);
  ledger.Lend(Account::kKv, Account::kPrefix, 400);
  EXPECT_EQ(ledger.Snapshot().of(Account::kKv).bytes, 200U);
  EXPECT_EQ(ledger.Snapshot().of(Account::kPrefix).bytes, 400U);
  EXPECT_EQ(ledger.Snapshot().reserved_bytes, 600U);
  // Neither is the floor kept a second time, nor does the ceiling rise.
  EXPECT_EQ(ledger.Snapshot().kept_bytes, 0U);
  EXPECT_EQ(ledger.available_bytes(), 400U);
  EXPECT_EQ(ledger.available_bytes(Account::kKv), 200U);
  EXPECT_FALSE(ledger.Reserve(Account::kKv, 201));
  EXPECT_TRUE(ledger.SetLimits(Account::kPrefix, {.ceiling_bytes = 100}));
  EXPECT_FALSE(ledger.SetLimits(Account::kKv, {.ceiling_bytes = 500}));
  ledger.TakeBack(Account::kKv, Account::kPrefix, 400);
  EXPECT_EQ(ledger.Snapshot().of(Account::kKv).bytes, 600U);
  EXPECT_EQ(ledger.Snapshot().of(Account::kPrefix).bytes, 0U);
  EXPECT_EQ(ledger.Snapshot().of(Account::kPrefix).high_water_bytes, 400U);
  kv.reset();
  EXPECT_EQ(ledger.Snapshot().reserved_bytes, 0U);
}

}  // namespace
}  // namespace plimsoll::memory
