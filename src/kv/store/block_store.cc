#include "kv/store/block_store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"
#include "kv/session_file.h"

namespace plimsoll::kv {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSlotFile = "blocks";
constexpr const char* kCatalogueFile = "catalogue.db";
constexpr const char* kLockFile = "lock";

// What an entry takes in the tables, with what the containers add.
constexpr uint64_t kTableBytesABlock = 256;

// Uses that are not written down yet; of more, some are forgotten.
constexpr size_t kMaxUsed = 4096;

uint64_t StrideOf(uint64_t block_bytes) { return AlignUp(block_bytes, io::kIoAlignment); }

std::error_code MakePrivateFolder(const fs::path& path) {
  std::error_code error;
  if (fs::create_directories(path, error)) {
    fs::permissions(path, fs::perms::owner_all, error);
  }
  return error;
}

uint64_t FileBytes(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

// Folders are named by 32 hexadecimal digits; whatever else lies there is not ours.
bool IsOfAStore(const fs::path& folder) {
  constexpr size_t kDigits = 32;
  const std::string name = folder.filename().string();
  std::error_code error;
  return name.size() == kDigits &&
         name.find_first_not_of("0123456789abcdef") == std::string::npos &&
         fs::is_regular_file(folder / kLockFile, error);
}

void RemoveStore(const fs::path& folder) {
  std::error_code error;
  fs::remove(folder / kSlotFile, error);
  for (const char* suffix : {"", "-wal", "-journal", "-shm", ".damaged"}) {
    fs::remove(fs::path(folder / kCatalogueFile) += suffix, error);
  }
  fs::remove(folder / kLockFile, error);
  fs::remove(folder, error);
}

// A catalogue that cannot be read, and the journal that belongs to it.
void PutAside(const fs::path& catalogue) {
  std::error_code error;
  for (const char* suffix : {"-wal", "-journal", "-shm"}) {
    fs::remove(fs::path(catalogue) += suffix, error);
  }
  fs::rename(catalogue, fs::path(catalogue) += ".damaged", error);
}

}  // namespace

Result<BlockStore::Folder> BlockStore::Folder::Take(fs::path path) {
  if (const auto error = MakePrivateFolder(path)) {
    return Fail(ErrorKind::kIo, "cannot make the folder {}: {}", path.string(), error.message());
  }
  const fs::path lock = path / kLockFile;
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return Fail(ErrorKind::kIo, "cannot open {}: {}", lock.string(), std::strerror(errno));
  }
  Folder folder(fd, std::move(path));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Fail(ErrorKind::kFailed, "{} is used by another process with the same model",
                folder.path().string());
  }
  ::futimens(fd, nullptr);  // when it was last used
  return folder;
}

BlockStore::Folder::Folder(Folder&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

BlockStore::Folder::~Folder() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

uint64_t BlockStore::TableBytes(uint64_t max_bytes, uint64_t block_bytes) {
  return BlockCatalogue::kBytes + max_bytes / StrideOf(block_bytes) * kTableBytesABlock;
}

uint64_t BlockStore::BufferBytes(uint64_t block_bytes) {
  const uint64_t stride = StrideOf(block_bytes);
  return stride == block_bytes ? 0 : 2 * stride;
}

void BlockStore::MakeRoom(const BlockStoreOptions& options, const fs::path& own,
                          uint64_t own_bytes) {
  struct Other {
    fs::path path;
    uint64_t bytes = 0;
    fs::file_time_type used;
  };
  std::vector<Other> others;
  uint64_t total = own_bytes;
  std::error_code error;
  for (fs::directory_iterator it(options.folder, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    const fs::path& path = it->path();
    if (path != own && IsOfAStore(path)) {
      const auto used = fs::last_write_time(path / kLockFile, ignored);
      others.push_back({.path = path, .bytes = FileBytes(path / kSlotFile), .used = used});
      total += others.back().bytes;
    }
  }
  std::ranges::sort(others, {}, &Other::used);
  for (const Other& other : others) {
    if (total <= std::max(options.max_bytes, options.max_folder_bytes)) {
      return;
    }
    // Not of a model that is in use.
    if (const auto taken = Folder::Take(other.path)) {
      RemoveStore(other.path);
      total -= other.bytes;
    }
  }
}

Result<std::unique_ptr<BlockStore>> BlockStore::Open(const BlockStoreOptions& options,
                                                     const io::Digest128& model,
                                                     const BlockLayout& layout,
                                                     memory::Ledger& ledger) {
  const uint64_t block_bytes = layout.block_bytes();
  const uint64_t n_slots = options.max_bytes / StrideOf(block_bytes);
  if (n_slots == 0 || n_slots > UINT32_MAX) {
    return Fail(ErrorKind::kUsage,
                "{} on the disk hold {} blocks of keys and values: {} tokens of this model take {}",
                FormatBytes(options.max_bytes), n_slots, kBlockTokens, FormatBytes(block_bytes));
  }
  if (const auto error = MakePrivateFolder(options.folder)) {
    return Fail(ErrorKind::kIo, "cannot make the folder {}: {}", options.folder.string(),
                error.message());
  }
  std::vector<io::Digest128> identity = {model, LayoutDigest(layout)};
  const fs::path path =
      options.folder / io::Hex(io::Checksum128(std::as_bytes(std::span(identity))));
  auto folder = Folder::Take(path);
  if (!folder) {
    return Forward(folder);
  }
  auto slots = io::DirectFile::Open(path / kSlotFile);
  if (!slots) {
    return Forward(slots);
  }
  auto catalogue = BlockCatalogue::Open(path / kCatalogueFile);
  if (!catalogue && catalogue.error().kind == ErrorKind::kBadModel) {
    if (options.on_note) {
      options.on_note(catalogue.error().message + ": it is put aside, and begun anew");
    }
    PutAside(path / kCatalogueFile);
    catalogue = BlockCatalogue::Open(path / kCatalogueFile);
  }
  if (!catalogue) {
    return Forward(catalogue);
  }
  auto tables = ledger.Reserve(memory::Account::kIndex, TableBytes(options.max_bytes, block_bytes));
  if (!tables) {
    return Fail(ErrorKind::kDoesNotFit, "the line has no room for the tables of {} on the disk, {}",
                FormatBytes(options.max_bytes),
                FormatBytes(TableBytes(options.max_bytes, block_bytes)));
  }
  std::unique_ptr<BlockStore> store(new BlockStore(options, *std::move(folder), *std::move(slots),
                                                   *std::move(catalogue), block_bytes));
  store->table_memory_ = *std::move(tables);
  if (!store->is_whole_pages()) {
    for (memory::Buffer* buffer : {&store->write_buffer_, &store->read_buffer_}) {
      auto allocated = memory::Buffer::Allocate(ledger, memory::Account::kIo, store->stride_,
                                                "a block on its way to the disk");
      if (!allocated) {
        return Forward(allocated);
      }
      *buffer = *std::move(allocated);
    }
  }
  if (auto loaded = store->LoadTable(); !loaded) {
    return Forward(loaded);
  }
  MakeRoom(options, path, store->n_slots_ * store->stride_);
  store->writer_ = std::thread([raw = store.get()] { raw->WriteLoop(); });
  store->reader_ = std::thread([raw = store.get()] { raw->ReadLoop(); });
  return store;
}

BlockStore::BlockStore(const BlockStoreOptions& options, Folder folder, io::DirectFile slots,
                       BlockCatalogue catalogue, uint64_t block_bytes)
    : options_(options),
      folder_(std::move(folder)),
      slots_(std::move(slots)),
      block_bytes_(block_bytes),
      stride_(StrideOf(block_bytes)),
      n_slots_(static_cast<uint32_t>(options.max_bytes / stride_)),
      catalogue_(std::move(catalogue)) {}

// What is beyond a limit that is lower than it was goes, rows first.
Result<> BlockStore::LoadTable() {
  auto blocks = catalogue_.Load();
  if (!blocks && blocks.error().kind == ErrorKind::kBadModel) {
    Note(blocks.error().message + ": it is put aside, and begun anew");
    auto anew = [&]() -> Result<BlockCatalogue> {
      PutAside(folder_.path() / kCatalogueFile);
      return BlockCatalogue::Open(folder_.path() / kCatalogueFile);
    }();
    if (!anew) {
      return Forward(anew);
    }
    catalogue_ = *std::move(anew);
    blocks = std::vector<StoredBlock>();
  }
  if (!blocks) {
    return Forward(blocks);
  }
  const uint64_t file_slots = FileBytes(folder_.path() / kSlotFile) / stride_;
  std::vector<bool> taken(n_slots_);
  std::vector<uint32_t> beyond;
  for (const StoredBlock& block : *blocks) {
    if (block.slot >= n_slots_ || block.slot >= file_slots) {
      beyond.push_back(block.slot);
    } else if (!taken[block.slot]) {
      taken[block.slot] = true;
      Entry& entry = table_[block.key];
      entry = {.slot = block.slot, .checksum = block.checksum};
      Use(block.key, entry);
    }
  }
  used_.clear();  // as their rows say
  if (auto removed = catalogue_.Remove(beyond); !removed) {
    return removed;
  }
  if (file_slots > n_slots_) {
    if (auto cut = slots_.Truncate(n_slots_ * stride_); !cut) {
      return cut;
    }
  }
  for (uint32_t slot = n_slots_; slot > 0; --slot) {
    if (!taken[slot - 1]) {
      free_slots_.push_back(slot - 1);
    }
  }
  return {};
}

BlockStore::~BlockStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_writer_.notify_all();
  wake_reader_.notify_all();
  for (std::thread* thread : {&writer_, &reader_}) {
    if (thread->joinable()) {
      thread->join();
    }
  }
}

void BlockStore::Note(std::string_view note) const {
  if (options_.on_note) {
    options_.on_note(note);
  }
}

bool BlockStore::Has(const BlockKey& key) const {
  const std::lock_guard lock(mutex_);
  return table_.contains(key);
}

void BlockStore::Touch(const BlockKey& key) {
  const std::lock_guard lock(mutex_);
  if (const auto at = table_.find(key); at != table_.end()) {
    Use(key, at->second);
  }
}

void BlockStore::Use(const BlockKey& key, Entry& entry) {
  by_use_.erase(entry.used);
  entry.used = ++last_use_;
  by_use_.emplace(entry.used, key);
  if (used_.size() < kMaxUsed) {
    used_.push_back(key);
  }
}

void BlockStore::Erase(std::unordered_map<BlockKey, Entry, BlockKeyHash>::iterator at) {
  by_use_.erase(at->second.used);
  table_.erase(at);
}

double BlockStore::ReadSpeedAt(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  return read_speed_.At(now);
}

BlockStoreStats BlockStore::stats() const {
  const std::lock_guard lock(mutex_);
  BlockStoreStats stats = stats_;
  stats.n_blocks = table_.size();
  stats.bytes = table_.size() * stride_;
  stats.max_bytes = n_slots_ * stride_;
  return stats;
}

}  // namespace plimsoll::kv
