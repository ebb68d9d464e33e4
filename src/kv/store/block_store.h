// Blocks of keys and values on a disk, by what was computed into them (BlockKey): what a pool has
// no room for, and what shall outlive the process.
//
// A folder of one model has a file of slots, each as long as a block, and a catalogue. A block is
// written to a free slot and forced to the disk, and only then is its row written: whenever the
// process is killed, a row means that its block is there. A slot that is used again loses its row
// first. Every block has a checksum; one that is wrong is not there.
//
// Writing and reading have a thread each, and keep out of the way of reads that a token waits for
// (io::Traffic): a restore like a class behind prompts, a save like the last one, each with a bound
// after which it goes on all the same.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "io/checksum.h"
#include "io/direct_file.h"
#include "io/traffic.h"
#include "kv/block_pool.h"
#include "kv/store/block_catalogue.h"
#include "kv/store/block_key.h"
#include "kv/store/read_speed.h"
#include "memory/buffer.h"
#include "memory/ledger.h"

namespace plimsoll::kv {

struct BlockStoreOptions {
  std::filesystem::path folder;          // of all models; made if there is none
  uint64_t max_bytes = 0;                // of this model's blocks
  uint64_t max_folder_bytes = 0;         // of all models' that are in it; at least max_bytes
  const io::Traffic* traffic = nullptr;  // outlives the store; null: there is no other
  std::function<void(std::string_view)> on_note;  // what is odd and stops nothing; any thread
};

// Since the store was opened, but for the first three.
struct BlockStoreStats {
  uint64_t n_blocks = 0;  // that are there
  uint64_t bytes = 0;     // that they take
  uint64_t max_bytes = 0;
  uint64_t saved_blocks = 0;
  uint64_t saved_bytes = 0;
  uint64_t restored_blocks = 0;
  uint64_t restored_bytes = 0;
  uint64_t evicted_blocks = 0;  // for others that were used later
  uint64_t failed_blocks = 0;   // that could not be written, or were not as they had been written
};

// Thread-safe.
class BlockStore {
 public:
  using Clock = std::chrono::steady_clock;

  // What it takes of the line: tables, and buffers for blocks that are not whole pages.
  [[nodiscard]] static uint64_t TableBytes(uint64_t max_bytes, uint64_t block_bytes);
  [[nodiscard]] static uint64_t BufferBytes(uint64_t block_bytes);

  // `model`: ModelIdentity. What other models have left goes when there is too much of it, the
  // longest unused first. A catalogue that is damaged is put aside. kFailed when another process
  // has this model's folder, kIo when it cannot be used, kUsage when not one block fits,
  // kDoesNotFit when the line has no room for the tables.
  [[nodiscard]] static Result<std::unique_ptr<BlockStore>> Open(const BlockStoreOptions& options,
                                                                const io::Digest128& model,
                                                                const BlockLayout& layout,
                                                                memory::Ledger& ledger);
  BlockStore(const BlockStore&) = delete;
  BlockStore& operator=(const BlockStore&) = delete;
  // What was taken to be saved is saved.
  ~BlockStore();

  [[nodiscard]] bool Has(const BlockKey& key) const;
  // Counts as a use of a block that is there.
  void Touch(const BlockKey& key);

  // Begins to save a block, which stays as it is until TakeSaved gives its ticket; one at a time of
  // a name. False when enough is under way, or when the disk was lately refusing.
  [[nodiscard]] bool Save(const BlockKey& key, const std::byte* block, uint64_t ticket);
  struct Saved {
    uint64_t ticket = 0;
    bool is_there = false;
  };
  [[nodiscard]] std::vector<Saved> TakeSaved();
  // Until all that was taken to be saved has an outcome; false when that takes longer.
  [[nodiscard]] bool WaitForSaves(std::chrono::milliseconds bound);

  // A run of blocks on its way back, in their order.
  class Restore {
   public:
    Restore(const Restore&) = delete;
    Restore& operator=(const Restore&) = delete;
    // Gives up what is not there yet; afterwards nobody writes to the blocks.
    ~Restore();
    [[nodiscard]] bool is_over() const { return is_over_.load(std::memory_order_acquire); }
    // Of the first on, those that are there and sound. The first that is not ends it.
    [[nodiscard]] uint32_t n_sound() const { return n_sound_.load(std::memory_order_acquire); }

   private:
    friend class BlockStore;
    explicit Restore(BlockStore& store) : store_(store) {}

    BlockStore& store_;
    std::vector<StoredBlock> blocks_;
    std::vector<std::byte*> to_;
    std::atomic<bool> is_cancelled_ = false;
    std::atomic<bool> is_over_ = false;
    std::atomic<uint32_t> n_sound_ = 0;
  };
  // Reads blocks into memory of block_bytes each, as many as are there from the first on. The store
  // outlives what it gives.
  [[nodiscard]] std::unique_ptr<Restore> Begin(std::span<const BlockKey> keys,
                                               std::span<std::byte* const> to);

  [[nodiscard]] BlockStoreStats stats() const;
  // Of a restore that begins now; bytes a second, more than 0.
  [[nodiscard]] double ReadSpeedAt(Clock::time_point now) const;

 private:
  struct Entry {
    uint32_t slot = 0;
    uint64_t checksum = 0;
    uint64_t used = 0;
    uint32_t n_readers = 0;
  };
  struct Waiting {
    BlockKey key;
    const std::byte* block = nullptr;
    uint64_t ticket = 0;
  };
  // What others who come have to wait for.
  static constexpr uint64_t kSegmentBytes = 1 << 20;

  // An open folder that no other process uses; gives it back when it goes.
  class Folder {
   public:
    [[nodiscard]] static Result<Folder> Take(std::filesystem::path path);
    Folder(Folder&& other) noexcept;
    Folder& operator=(Folder&&) = delete;
    ~Folder();
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

   private:
    Folder(int fd, std::filesystem::path path) : fd_(fd), path_(std::move(path)) {}
    int fd_;
    std::filesystem::path path_;
  };

  BlockStore(const BlockStoreOptions& options, Folder folder, io::DirectFile slots,
             BlockCatalogue catalogue, uint64_t block_bytes);

  // Removes what other models have left, but for what fits beside `own_bytes`.
  static void MakeRoom(const BlockStoreOptions& options, const std::filesystem::path& own,
                       uint64_t own_bytes);
  [[nodiscard]] Result<> LoadTable();
  [[nodiscard]] bool is_whole_pages() const { return stride_ == block_bytes_; }

  void WriteLoop();
  void SaveGroup(std::span<const Waiting> group);
  // As many free slots, or fewer; rows of what they held are gone from the disk.
  [[nodiscard]] Result<std::vector<uint32_t>> TakeSlots(size_t n);
  [[nodiscard]] Result<> WriteBlock(const std::byte* block, uint32_t slot, uint64_t& checksum);
  [[nodiscard]] Result<> RemoveDamaged();
  [[nodiscard]] std::vector<StoredBlock> TakeUsed();  // with the lock held

  void ReadLoop();
  void ReadBlocks(Restore& restore);
  [[nodiscard]] Result<> ReadBlock(const StoredBlock& block, std::byte* to);

  // With the lock held.
  void Use(const BlockKey& key, Entry& entry);
  void Erase(std::unordered_map<BlockKey, Entry, BlockKeyHash>::iterator at);
  void Note(std::string_view note) const;

  const BlockStoreOptions options_;
  const Folder folder_;
  const io::DirectFile slots_;
  const uint64_t block_bytes_;
  const uint64_t stride_;
  const uint32_t n_slots_;
  memory::Reservation table_memory_;
  memory::Buffer write_buffer_;  // of the writing thread; empty where blocks are whole pages
  memory::Buffer read_buffer_;
  BlockCatalogue catalogue_;  // of the writing thread

  mutable std::mutex mutex_;
  std::condition_variable wake_writer_;
  std::condition_variable wake_reader_;
  std::condition_variable something_ended_;
  std::unordered_map<BlockKey, Entry, BlockKeyHash> table_;
  std::map<uint64_t, BlockKey> by_use_;
  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> damaged_slots_;  // whose rows are still there
  std::vector<BlockKey> used_;           // whose rows say that it was longer ago
  uint64_t last_use_ = 0;
  std::deque<Waiting> to_save_;
  std::vector<Saved> saved_;
  uint32_t n_saving_ = 0;  // without an outcome
  std::deque<Restore*> to_restore_;
  std::optional<Clock::time_point> refuses_until_;
  std::chrono::seconds refusal_{1};
  bool stopping_ = false;
  BlockStoreStats stats_;
  ReadSpeed read_speed_;

  std::thread writer_;  // last: they use all of the above
  std::thread reader_;
};

}  // namespace plimsoll::kv
