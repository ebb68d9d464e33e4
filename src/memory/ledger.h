// The budget. Every byte that grows with model, context or load is reserved here, under the account
// of its owner, before it is allocated.
#pragma once

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

struct AccountUsage {
  uint64_t bytes = 0;
  uint64_t high_water_bytes = 0;
};

struct LedgerSnapshot {
  uint64_t budget_bytes = 0;
  uint64_t reserved_bytes = 0;
  uint64_t high_water_bytes = 0;
  std::array<AccountUsage, kNAccounts> accounts;
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

  // Empty when the budget has no room: that is pressure, and the caller decides what it means.
  [[nodiscard]] std::optional<Reservation> Reserve(Account account, uint64_t bytes);
  [[nodiscard]] LedgerSnapshot Snapshot() const;
  [[nodiscard]] uint64_t budget_bytes() const;
  // False, and nothing changes, when more is reserved than that.
  [[nodiscard]] bool SetBudget(uint64_t budget_bytes);
  [[nodiscard]] uint64_t available_bytes() const;

 private:
  friend class Reservation;
  void Release(Account account, uint64_t bytes);

  mutable std::mutex mutex_;
  uint64_t budget_bytes_;
  uint64_t reserved_bytes_ = 0;
  uint64_t high_water_bytes_ = 0;
  std::array<AccountUsage, kNAccounts> accounts_ = {};
};

}  // namespace plimsoll::memory
