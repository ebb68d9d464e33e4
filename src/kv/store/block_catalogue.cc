#include "kv/store/block_catalogue.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include "io/checksum.h"

namespace plimsoll::kv {
namespace {

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

constexpr int kApplicationId = 0x504c4b56;  // "PLKV"

// What the library says, as one of ours.
tl::unexpected<Error> LibraryError(sqlite3* database) {
  const int code = sqlite3_errcode(database) & 0xff;
  const bool is_damage = code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_FORMAT;
  return Fail(is_damage ? ErrorKind::kBadModel : ErrorKind::kIo, "the catalogue of blocks: {}",
              sqlite3_errmsg(database));
}

Result<> Execute(sqlite3* database, const char* sql) {
  if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return LibraryError(database);
  }
  return {};
}

Result<Statement> Prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) {
    return LibraryError(database);
  }
  return Statement(statement);
}

// Runs a statement that gives no rows, and makes it ready for other values.
Result<> Run(sqlite3* database, sqlite3_stmt* statement) {
  Result<> outcome;
  if (sqlite3_step(statement) != SQLITE_DONE) {
    outcome = LibraryError(database);
  }
  sqlite3_reset(statement);
  return outcome;
}

Result<int> Number(sqlite3* database, const char* sql) {
  auto statement = Prepare(database, sql);
  if (!statement) {
    return Forward(statement);
  }
  if (sqlite3_step(statement->get()) != SQLITE_ROW) {
    return LibraryError(database);
  }
  return sqlite3_column_int(statement->get(), 0);
}

Result<> Transaction(sqlite3* database, const std::function<Result<>()>& change) {
  if (auto begun = Execute(database, "BEGIN IMMEDIATE"); !begun) {
    return begun;
  }
  auto changed = change();
  if (changed) {
    changed = Execute(database, "COMMIT");
  }
  if (!changed) {
    static_cast<void>(Execute(database, "ROLLBACK"));
  }
  return changed;
}

// Of a row, so that one that was changed by whatever is not believed.
int64_t RowSum(const StoredBlock& block) {
  io::Digester digester;
  digester.Add(block.key);
  digester.Add(std::as_bytes(std::span(&block.slot, 1)));
  digester.Add(std::as_bytes(std::span(&block.checksum, 1)));
  return static_cast<int64_t>(digester.Sum64());
}

// Write-ahead, and forced to the disk with every transaction. Exclusive: the process has the folder
// to itself, and a journal needs no shared memory then.
constexpr const char* kSettings =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;"
    "PRAGMA wal_autocheckpoint=100;";

constexpr const char* kSchema =
    "CREATE TABLE block(slot INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
    " checksum INTEGER NOT NULL, used INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "PRAGMA application_id=0x504c4b56; PRAGMA user_version=1;";

Result<> CheckOrCreate(sqlite3* database) {
  const auto application = Number(database, "PRAGMA application_id");
  if (!application) {
    return tl::unexpected(application.error());
  }
  const auto version = Number(database, "PRAGMA user_version");
  if (!version) {
    return tl::unexpected(version.error());
  }
  const auto n_tables = Number(database, "SELECT count(*) FROM sqlite_master");
  if (!n_tables) {
    return tl::unexpected(n_tables.error());
  }
  if (*application == 0 && *n_tables == 0) {
    return Transaction(database, [&] { return Execute(database, kSchema); });
  }
  if (*application != kApplicationId) {
    return Fail(ErrorKind::kBadModel, "the catalogue of blocks is another program's");
  }
  if (*version != BlockCatalogue::kVersion) {
    return Fail(ErrorKind::kBadModel,
                "version {} of the catalogue of blocks is not supported, only {}", *version,
                BlockCatalogue::kVersion);
  }
  return {};
}

}  // namespace

void BlockCatalogue::Close::operator()(sqlite3* database) const { sqlite3_close(database); }

Result<BlockCatalogue> BlockCatalogue::Open(const std::filesystem::path& path) {
  // The library makes its other files as readable as this one.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", path.string(), std::strerror(errno));
  }
  ::close(fd);
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  Database database(raw);
  if (opened != SQLITE_OK) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", path.string(), sqlite3_errstr(opened));
  }
  if (auto set = Execute(raw, kSettings); !set) {
    return Forward(set);
  }
  if (auto checked = CheckOrCreate(raw); !checked) {
    return Forward(checked);
  }
  return BlockCatalogue(std::move(database));
}

Result<std::vector<StoredBlock>> BlockCatalogue::Load() {
  auto statement =
      Prepare(database_.get(), "SELECT slot, key, checksum, used, sum FROM block ORDER BY used");
  if (!statement) {
    return Forward(statement);
  }
  std::vector<StoredBlock> blocks;
  int outcome = SQLITE_ROW;
  while ((outcome = sqlite3_step(statement->get())) == SQLITE_ROW) {
    sqlite3_stmt* const row = statement->get();
    const int64_t slot = sqlite3_column_int64(row, 0);
    const void* const key = sqlite3_column_blob(row, 1);
    if (slot < 0 || slot > UINT32_MAX || key == nullptr ||
        sqlite3_column_bytes(row, 1) != int{sizeof(BlockKey)}) {
      continue;
    }
    StoredBlock block;
    block.slot = static_cast<uint32_t>(slot);
    std::memcpy(block.key.data(), key, sizeof block.key);
    block.checksum = static_cast<uint64_t>(sqlite3_column_int64(row, 2));
    block.used = static_cast<uint64_t>(sqlite3_column_int64(row, 3));
    if (RowSum(block) == sqlite3_column_int64(row, 4)) {
      blocks.push_back(block);
    }
  }
  if (outcome != SQLITE_DONE) {
    return LibraryError(database_.get());
  }
  return blocks;
}

Result<> BlockCatalogue::Remove(std::span<const uint32_t> slots) {
  auto statement = Prepare(database_.get(), "DELETE FROM block WHERE slot=?");
  if (!statement) {
    return Forward(statement);
  }
  return Transaction(database_.get(), [&]() -> Result<> {
    for (const uint32_t slot : slots) {
      sqlite3_bind_int64(statement->get(), 1, slot);
      if (auto removed = Run(database_.get(), statement->get()); !removed) {
        return removed;
      }
    }
    return {};
  });
}

Result<> BlockCatalogue::Put(std::span<const StoredBlock> added,
                             std::span<const StoredBlock> used) {
  auto insert = Prepare(database_.get(), "INSERT OR REPLACE INTO block VALUES(?,?,?,?,?)");
  if (!insert) {
    return Forward(insert);
  }
  auto update = Prepare(database_.get(), "UPDATE block SET used=? WHERE slot=?");
  if (!update) {
    return Forward(update);
  }
  return Transaction(database_.get(), [&]() -> Result<> {
    for (const StoredBlock& block : added) {
      sqlite3_stmt* const row = insert->get();
      sqlite3_bind_int64(row, 1, block.slot);
      sqlite3_bind_blob(row, 2, block.key.data(), sizeof block.key, SQLITE_STATIC);
      sqlite3_bind_int64(row, 3, static_cast<int64_t>(block.checksum));
      sqlite3_bind_int64(row, 4, static_cast<int64_t>(block.used));
      sqlite3_bind_int64(row, 5, RowSum(block));
      if (auto inserted = Run(database_.get(), row); !inserted) {
        return inserted;
      }
    }
    for (const StoredBlock& block : used) {
      sqlite3_bind_int64(update->get(), 1, static_cast<int64_t>(block.used));
      sqlite3_bind_int64(update->get(), 2, block.slot);
      if (auto updated = Run(database_.get(), update->get()); !updated) {
        return updated;
      }
    }
    return {};
  });
}

}  // namespace plimsoll::kv
