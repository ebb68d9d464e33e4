// How blocks come back.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/invariant.h"
#include "kv/store/block_store.h"

namespace plimsoll::kv {
namespace {

// After which a segment is read though a token waits for the disk.
constexpr std::chrono::milliseconds kRestorePatience{5};

}  // namespace

std::unique_ptr<BlockStore::Restore> BlockStore::Begin(std::span<const BlockKey> keys,
                                                       std::span<std::byte* const> to) {
  Invariant(keys.size() == to.size(), "every block has its place");
  std::unique_ptr<Restore> restore(new Restore(*this));
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto at = table_.find(keys[i]);
    if (at == table_.end()) {
      break;
    }
    ++at->second.n_readers;
    Use(keys[i], at->second);
    restore->blocks_.push_back(
        {.key = keys[i], .slot = at->second.slot, .checksum = at->second.checksum});
    restore->to_.push_back(to[i]);
  }
  to_restore_.push_back(restore.get());
  wake_reader_.notify_one();
  return restore;
}

BlockStore::Restore::~Restore() {
  is_cancelled_ = true;
  std::unique_lock lock(store_.mutex_);
  store_.something_ended_.wait(lock, [this] { return is_over(); });
}

void BlockStore::ReadLoop() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_reader_.wait(lock, [this] { return stopping_ || !to_restore_.empty(); });
    if (to_restore_.empty()) {
      return;
    }
    Restore& restore = *to_restore_.front();
    to_restore_.pop_front();
    lock.unlock();
    ReadBlocks(restore);
    lock.lock();
    for (const StoredBlock& block : restore.blocks_) {
      // Not one of that name that was saved since.
      if (const auto at = table_.find(block.key);
          at != table_.end() && at->second.slot == block.slot) {
        --at->second.n_readers;
      }
    }
    restore.is_over_.store(true, std::memory_order_release);
    something_ended_.notify_all();
  }
}

void BlockStore::ReadBlocks(Restore& restore) {
  const auto begin = Clock::now();
  uint32_t n_sound = 0;
  Result<> outcome;
  while (n_sound < restore.blocks_.size() && !restore.is_cancelled_ && outcome) {
    outcome = ReadBlock(restore.blocks_[n_sound], restore.to_[n_sound]);
    if (outcome) {
      restore.n_sound_.store(++n_sound, std::memory_order_release);
    }
  }
  const auto end = Clock::now();
  const double seconds = std::chrono::duration<double>(end - begin).count();
  const std::lock_guard lock(mutex_);
  stats_.restored_blocks += n_sound;
  stats_.restored_bytes += n_sound * stride_;
  if (n_sound > 0 && seconds > 0) {
    read_speed_.Add(static_cast<double>(n_sound * stride_) / seconds, end);
  }
  if (!outcome) {
    // It is as if it had never been there.
    ++stats_.failed_blocks;
    const StoredBlock& bad = restore.blocks_[n_sound];
    if (const auto at = table_.find(bad.key); at != table_.end() && at->second.slot == bad.slot) {
      damaged_slots_.push_back(bad.slot);
      Erase(at);
      wake_writer_.notify_one();
    }
    Note(fmt::format("a block of keys and values is computed again: {}", outcome.error().message));
  }
}

Result<> BlockStore::ReadBlock(const StoredBlock& block, std::byte* to) {
  std::byte* const into = is_whole_pages() ? to : read_buffer_.data();
  for (uint64_t at = 0; at < stride_; at += kSegmentBytes) {
    if (options_.traffic != nullptr) {
      options_.traffic->WaitForLull(kRestorePatience);
    }
    const uint64_t n = std::min(stride_ - at, kSegmentBytes);
    if (auto read = slots_.ReadAt(block.slot * stride_ + at, {into + at, n}); !read) {
      return read;
    }
  }
  if (io::Checksum64({into, block_bytes_}) != block.checksum) {
    return Fail(ErrorKind::kFailed, "slot {} of {} is damaged: its checksum is wrong", block.slot,
                folder_.path().string());
  }
  if (into != to) {
    std::memcpy(to, into, block_bytes_);
  }
  return {};
}

}  // namespace plimsoll::kv
