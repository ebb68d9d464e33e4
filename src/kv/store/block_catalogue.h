// Which blocks are on a disk, and where: an SQLite database beside them. It is the last that is
// written, so a row means that its block is there, whenever the process or the machine stopped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "kv/store/block_key.h"

struct sqlite3;  // of the library

namespace plimsoll::kv {

struct StoredBlock {
  BlockKey key;
  uint32_t slot = 0;
  uint64_t checksum = 0;  // XXH3-64 of the block
  uint64_t used = 0;      // a number that is larger for what was used later
};

// For one thread at a time.
class BlockCatalogue {
 public:
  static constexpr int kVersion = 1;
  // What it takes of memory, at the most.
  static constexpr uint64_t kBytes = 1 << 20;

  // Makes the database if there is none, for its owner's eyes alone. kBadModel when it is damaged,
  // of another version or another program's; kIo when it cannot be opened or written.
  [[nodiscard]] static Result<BlockCatalogue> Open(const std::filesystem::path& path);

  // Rows that are not as they were written are left out. kBadModel as Open.
  [[nodiscard]] Result<std::vector<StoredBlock>> Load();
  // Each call is one transaction: it is on the disk, or nothing of it is. kIo.
  //
  // A slot's old row goes before its new one is written.
  [[nodiscard]] Result<> Remove(std::span<const uint32_t> slots);
  // `added` are new rows; of `used` only StoredBlock::used is written anew.
  [[nodiscard]] Result<> Put(std::span<const StoredBlock> added, std::span<const StoredBlock> used);

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  using Database = std::unique_ptr<sqlite3, Close>;

  explicit BlockCatalogue(Database database) : database_(std::move(database)) {}

  Database database_;
};

}  // namespace plimsoll::kv
