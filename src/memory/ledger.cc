#include "memory/ledger.h"

#include <algorithm>

#include "base/invariant.h"

namespace plimsoll::memory {
namespace {

constexpr std::array<std::string_view, kNAccounts> kNames = {
    "weights", "vocab", "experts",     "kv",    "prefix", "adapters",   "draft",
    "scratch", "io",    "connections", "index", "heap",   "page_tables"};

}  // namespace

std::string_view AccountName(Account account) { return kNames[static_cast<size_t>(account)]; }

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    Release();
    ledger_ = std::exchange(other.ledger_, nullptr);
    account_ = other.account_;
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Reservation::Release() {
  if (ledger_ != nullptr) {
    std::exchange(ledger_, nullptr)->Release(account_, std::exchange(bytes_, 0));
  }
}

void Reservation::Shrink(uint64_t bytes) {
  if (ledger_ != nullptr) {
    ledger_->Release(account_, bytes_ - bytes);
    bytes_ = bytes;
  }
}

std::optional<Reservation> Ledger::Reserve(Account account, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  AccountUsage& usage = accounts_[static_cast<size_t>(account)];
  if (bytes > AvailableTo(usage)) {
    return std::nullopt;
  }
  reserved_bytes_ += bytes;
  high_water_bytes_ = std::max(high_water_bytes_, reserved_bytes_);
  usage.bytes += bytes;
  usage.high_water_bytes = std::max(usage.high_water_bytes, usage.bytes);
  return Reservation(this, account, bytes);
}

void Ledger::Release(Account account, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  AccountUsage& usage = accounts_[static_cast<size_t>(account)];
  Invariant(usage.bytes >= bytes && reserved_bytes_ >= bytes, "a reservation is released once");
  usage.bytes -= bytes;
  reserved_bytes_ -= bytes;
}

void Ledger::Lend(Account from, Account to, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  AccountUsage& lender = accounts_[static_cast<size_t>(from)];
  AccountUsage& user = accounts_[static_cast<size_t>(to)];
  Invariant(lender.bytes >= bytes, "an account lends what it has reserved");
  lender.bytes -= bytes;
  lender.lent_bytes += bytes;
  user.bytes += bytes;
  user.borrowed_bytes += bytes;
  user.high_water_bytes = std::max(user.high_water_bytes, user.bytes);
}

void Ledger::TakeBack(Account from, Account to, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  AccountUsage& lender = accounts_[static_cast<size_t>(from)];
  AccountUsage& user = accounts_[static_cast<size_t>(to)];
  Invariant(lender.lent_bytes >= bytes && user.borrowed_bytes >= bytes, "what was lent comes back");
  lender.bytes += bytes;
  lender.lent_bytes -= bytes;
  lender.high_water_bytes = std::max(lender.high_water_bytes, lender.bytes);
  user.bytes -= bytes;
  user.borrowed_bytes -= bytes;
}

uint64_t Ledger::KeptBytes() const {
  uint64_t kept = 0;
  for (const AccountUsage& usage : accounts_) {
    kept += usage.kept_bytes();
  }
  return kept;
}

uint64_t Ledger::AvailableTo(const AccountUsage& usage) const {
  const uint64_t kept_for_others = KeptBytes() - usage.kept_bytes();
  return std::min(budget_bytes_ - reserved_bytes_ - kept_for_others,
                  usage.limits.ceiling_bytes - usage.held_bytes());
}

bool Ledger::SetLimits(Account account, AccountLimits limits) {
  const std::lock_guard lock(mutex_);
  AccountUsage& usage = accounts_[static_cast<size_t>(account)];
  const uint64_t kept_for_others = KeptBytes() - usage.kept_bytes();
  const uint64_t room = budget_bytes_ - reserved_bytes_ - kept_for_others;
  if (limits.ceiling_bytes < std::max(usage.held_bytes(), limits.floor_bytes) ||
      limits.floor_bytes - std::min(limits.floor_bytes, usage.held_bytes()) > room) {
    return false;
  }
  usage.limits = limits;
  return true;
}

uint64_t Ledger::budget_bytes() const {
  const std::lock_guard lock(mutex_);
  return budget_bytes_;
}

bool Ledger::SetBudget(uint64_t budget_bytes) {
  const std::lock_guard lock(mutex_);
  if (reserved_bytes_ + KeptBytes() > budget_bytes) {
    return false;
  }
  budget_bytes_ = budget_bytes;
  return true;
}

uint64_t Ledger::available_bytes() const {
  const std::lock_guard lock(mutex_);
  return budget_bytes_ - reserved_bytes_ - KeptBytes();
}

uint64_t Ledger::available_bytes(Account account) const {
  const std::lock_guard lock(mutex_);
  return AvailableTo(accounts_[static_cast<size_t>(account)]);
}

LedgerSnapshot Ledger::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return {.budget_bytes = budget_bytes_,
          .reserved_bytes = reserved_bytes_,
          .high_water_bytes = high_water_bytes_,
          .kept_bytes = KeptBytes(),
          .accounts = accounts_};
}

}  // namespace plimsoll::memory
