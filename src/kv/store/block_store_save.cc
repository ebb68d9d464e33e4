// How blocks get to the disk.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/invariant.h"
#include "kv/store/block_store.h"

namespace plimsoll::kv {
namespace {

// Saves that are under way at a time: they hold blocks in memory, and share one forcing to disk.
constexpr uint64_t kMaxSaving = 64;
constexpr uint64_t kMaxSavingBytes = 32 << 20;
// After which a segment is written though a token waits for the disk.
constexpr std::chrono::milliseconds kSavePatience{50};
// How long saving pauses after the disk refused, at the most.
constexpr std::chrono::seconds kMaxRefusal{60};

}  // namespace

bool BlockStore::Save(const BlockKey& key, const std::byte* block, uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  const uint64_t most = std::clamp<uint64_t>(kMaxSavingBytes / stride_, 1, kMaxSaving);
  if (n_saving_ >= most || (refuses_until_ && Clock::now() < *refuses_until_)) {
    return false;
  }
  ++n_saving_;
  to_save_.push_back({.key = key, .block = block, .ticket = ticket});
  wake_writer_.notify_one();
  return true;
}

std::vector<BlockStore::Saved> BlockStore::TakeSaved() {
  const std::lock_guard lock(mutex_);
  return std::exchange(saved_, {});
}

bool BlockStore::WaitForSaves(std::chrono::milliseconds bound) {
  std::unique_lock lock(mutex_);
  return something_ended_.wait_for(lock, bound, [this] { return n_saving_ == 0; });
}

void BlockStore::WriteLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_writer_.wait(lock,
                      [this] { return stopping_ || !to_save_.empty() || !damaged_slots_.empty(); });
    if (to_save_.empty() && damaged_slots_.empty()) {
      break;
    }
    const std::vector<Waiting> group(to_save_.begin(), to_save_.end());
    to_save_.clear();
    lock.unlock();
    SaveGroup(group);
    lock.lock();
  }
  // What was read since the last save, so that it is known in the next run.
  const std::vector<StoredBlock> used = TakeUsed();
  lock.unlock();
  if (!used.empty()) {
    static_cast<void>(catalogue_.Put({}, used));
  }
}

std::vector<StoredBlock> BlockStore::TakeUsed() {
  std::vector<StoredBlock> used;
  for (const BlockKey& key : std::exchange(used_, {})) {
    if (const auto at = table_.find(key); at != table_.end()) {
      used.push_back({.key = key,
                      .slot = at->second.slot,
                      .checksum = at->second.checksum,
                      .used = at->second.used});
    }
  }
  return used;
}

Result<> BlockStore::RemoveDamaged() {
  std::vector<uint32_t> slots;
  {
    const std::lock_guard lock(mutex_);
    slots = std::exchange(damaged_slots_, {});
  }
  if (slots.empty()) {
    return {};
  }
  auto removed = catalogue_.Remove(slots);
  const std::lock_guard lock(mutex_);
  if (removed) {
    free_slots_.insert(free_slots_.end(), slots.begin(), slots.end());
  }
  return removed;
}

Result<std::vector<uint32_t>> BlockStore::TakeSlots(size_t n) {
  std::vector<uint32_t> slots;
  std::vector<uint32_t> emptied;
  {
    const std::lock_guard lock(mutex_);
    while (slots.size() < n && !free_slots_.empty()) {
      slots.push_back(free_slots_.back());
      free_slots_.pop_back();
    }
    for (auto oldest = by_use_.begin();
         slots.size() + emptied.size() < n && oldest != by_use_.end();) {
      const auto at = table_.find((oldest++)->second);
      if (at->second.n_readers == 0) {
        emptied.push_back(at->second.slot);
        Erase(at);
        ++stats_.evicted_blocks;
      }
    }
  }
  if (!emptied.empty()) {
    if (auto removed = catalogue_.Remove(emptied); !removed) {
      const std::lock_guard lock(mutex_);
      free_slots_.insert(free_slots_.end(), slots.begin(), slots.end());
      damaged_slots_.insert(damaged_slots_.end(), emptied.begin(), emptied.end());
      return Forward(removed);
    }
    slots.insert(slots.end(), emptied.begin(), emptied.end());
  }
  return slots;
}

Result<> BlockStore::WriteBlock(const std::byte* block, uint32_t slot, uint64_t& checksum) {
  if (!is_whole_pages()) {
    std::memcpy(write_buffer_.data(), block, block_bytes_);
    block = write_buffer_.data();
  }
  checksum = io::Checksum64({block, block_bytes_});
  for (uint64_t at = 0; at < stride_; at += kSegmentBytes) {
    if (options_.traffic != nullptr) {
      options_.traffic->WaitForLull(kSavePatience);
    }
    const uint64_t n = std::min(stride_ - at, kSegmentBytes);
    if (auto written = slots_.WriteAt(slot * stride_ + at, {block + at, n}); !written) {
      return written;
    }
  }
  return {};
}

// The blocks are on the disk before their rows are. What fails is as if it had never been tried: a
// disk that did not keep its word once is not asked whether it meant it.
void BlockStore::SaveGroup(std::span<const Waiting> group) {
  std::vector<StoredBlock> rows;
  std::vector<uint32_t> slots;
  const auto save = [&]() -> Result<> {
    if (auto removed = RemoveDamaged(); !removed) {
      return removed;
    }
    if (group.empty()) {
      return {};
    }
    std::vector<const Waiting*> wanted;
    for (const Waiting& waiting : group) {
      if (!Has(waiting.key)) {
        wanted.push_back(&waiting);
      }
    }
    auto taken = TakeSlots(wanted.size());
    if (!taken) {
      return Forward(taken);
    }
    slots = *std::move(taken);
    for (size_t i = 0; i < slots.size(); ++i) {
      StoredBlock& row = rows.emplace_back();
      row.key = wanted[i]->key;
      row.slot = slots[i];
      if (auto written = WriteBlock(wanted[i]->block, slots[i], row.checksum); !written) {
        return written;
      }
    }
    if (auto synced = slots_.Sync(); !synced) {
      return synced;
    }
    std::vector<StoredBlock> used;
    {
      const std::lock_guard lock(mutex_);
      for (StoredBlock& row : rows) {
        row.used = ++last_use_;
      }
      used = TakeUsed();
    }
    return catalogue_.Put(rows, used);
  };
  const Result<> outcome = save();
  const std::lock_guard lock(mutex_);
  if (outcome) {
    refuses_until_.reset();
    refusal_ = std::chrono::seconds(1);
    for (const StoredBlock& row : rows) {
      const auto [at, is_new] = table_.try_emplace(
          row.key, Entry{.slot = row.slot, .checksum = row.checksum, .used = row.used});
      Invariant(is_new, "a block is saved once at a time");
      by_use_.emplace(row.used, row.key);
    }
    stats_.saved_blocks += rows.size();
    stats_.saved_bytes += rows.size() * stride_;
  } else {
    free_slots_.insert(free_slots_.end(), slots.begin(), slots.end());
    stats_.failed_blocks += group.size();
    refuses_until_ = Clock::now() + refusal_;
    Note(fmt::format("blocks of keys and values were not saved: {}; trying again in {} s",
                     outcome.error().message, refusal_.count()));
    refusal_ = std::min(refusal_ * 2, kMaxRefusal);
  }
  for (const Waiting& waiting : group) {
    saved_.push_back({.ticket = waiting.ticket, .is_there = table_.contains(waiting.key)});
  }
  n_saving_ -= static_cast<uint32_t>(group.size());
  something_ended_.notify_all();
}

}  // namespace plimsoll::kv
