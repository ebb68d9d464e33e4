// The budget. Every byte that grows with model, context or load is reserved here, under the account
// of its owner, before it is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace plimsoll::memory {

enum class Account : uint8_t {
  kWeights,  // dense layers, norms, routers
  kVocab,    // embedding and output matrices, tokenizer tables
  kExperts,
  kKv,
  kPrefix,
  kAdapters,
  kDraft,
  kScratch,  // activations and workspaces
  kIo,
  kConnections,
  kIndex,  // the caches' own tables
  kHeap,   // allocator slack, measured
  kPageTables,
};
inline constexpr size_t kNAccounts = 13;

[[nodiscard]] std::string_view AccountName(Account account);

// What an account is sure of and what it may have. A floor above what the account has reserved is
// kept free for it: no other account can take that room.
struct AccountLimits {
  uint64_t floor_bytes = 0;
  uint64_t ceiling_bytes = UINT64_MAX;
};

struct AccountUsage {
  uint64_t bytes = 0;
  uint64_t high_water_bytes = 0;
  uint64_t lent_bytes = 0;      // beside `bytes`: reserved here, shown under another account (Lend)
  uint64_t borrowed_bytes = 0;  // of `bytes`, what others have lent
  AccountLimits limits;

  // What its limits count.
  [[nodiscard]] uint64_t held_bytes() const { return bytes - borrowed_bytes + lent_bytes; }
  // Of the floor, what is not reserved yet.
  [[nodiscard]] uint64_t kept_bytes() const {
    return limits.floor_bytes - std::min(limits.floor_bytes, held_bytes());
  }
};

struct LedgerSnapshot {
  uint64_t budget_bytes = 0;
  uint64_t reserved_bytes = 0;
  uint64_t high_water_bytes = 0;
  uint64_t kept_bytes = 0;  // by floors, beside what is reserved
  std::array<AccountUsage, kNAccounts> accounts;

  [[nodiscard]] const AccountUsage& of(Account account) const {
    return accounts[static_cast<size_t>(account)];
  }
};

class Ledger;

// The right to a number of bytes; gives them back when it goes. Move-only.
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() { Release(); }

  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  [[nodiscard]] Account account() const { return account_; }
  void Release();
  // Gives a part of it back; `bytes` at most what it has.
  void Shrink(uint64_t bytes);

 private:
  friend class Ledger;
  Reservation(Ledger* ledger, Account account, uint64_t bytes)
      : ledger_(ledger), account_(account), bytes_(bytes) {}

  Ledger* ledger_ = nullptr;
  Account account_ = Account::kHeap;
  uint64_t bytes_ = 0;
};

// Thread-safe. Must outlive its reservations.
class Ledger {
 public:
  explicit Ledger(uint64_t budget_bytes) : budget_bytes_(budget_bytes) {}
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Empty when the budget has no room beside what floors keep for others, or when the account's
  // ceiling would be passed: that is pressure, and the caller decides what it means.
  [[nodiscard]] std::optional<Reservation> Reserve(Account account, uint64_t bytes);
  // Shows `bytes` of what `from` has reserved under `to`, until they are taken back: memory that
  // changes its use and not its owner. The limits of `from` count it as before, those of `to` do
  // not, and the sum of all accounts is the same.
  void Lend(Account from, Account to, uint64_t bytes);
  void TakeBack(Account from, Account to, uint64_t bytes);
  // False, and nothing changes, when the account has more than the ceiling, the floor is above it,
  // or the budget has no room for the floor beside what the others have and keep.
  [[nodiscard]] bool SetLimits(Account account, AccountLimits limits);
  [[nodiscard]] LedgerSnapshot Snapshot() const;
  [[nodiscard]] uint64_t budget_bytes() const;
  // False, and nothing changes, when more is reserved and kept than that.
  [[nodiscard]] bool SetBudget(uint64_t budget_bytes);
  // Of the budget, what is neither reserved nor kept by a floor.
  [[nodiscard]] uint64_t available_bytes() const;
  // What Reserve would grant this account: its own floor and ceiling counted.
  [[nodiscard]] uint64_t available_bytes(Account account) const;

 private:
  friend class Reservation;
  void Release(Account account, uint64_t bytes);
  // With the lock held.
  [[nodiscard]] uint64_t KeptBytes() const;
  [[nodiscard]] uint64_t AvailableTo(const AccountUsage& usage) const;

  mutable std::mutex mutex_;
  uint64_t budget_bytes_;
  uint64_t reserved_bytes_ = 0;
  uint64_t high_water_bytes_ = 0;
  std::array<AccountUsage, kNAccounts> accounts_ = {};
};

}  // namespace plimsoll::memory
