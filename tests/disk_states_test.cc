// What blocks and sessions on a disk are worth after the process or the power ended at any moment,
// and while calls to the system fail: docs/reliability.md, S8 to S11.
#include <cerrno>
#include <set>

#include <gmock/gmock.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/rng.h"
#include "kv/session_file.h"
#include "kv/store/block_store.h"
#include "tests/is_night.h"
#include "tests/recorded_disk.h"

namespace plimsoll::kv {
namespace {

namespace fs = std::filesystem;
using Numbers = std::set<uint64_t>;

constexpr auto kLong = std::chrono::seconds(60);
constexpr uint64_t kPageBytes = 4096;

// In memory, if there is such a folder: the recording says what a disk would have.
fs::path FolderOf(std::string_view name) {
  const fs::path memory = "/dev/shm";
  const fs::path parent = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
  return parent / fmt::format("plimsoll-{}-{}", name, ::getpid());
}

// From some call on, numbers must be there, or need not any longer.
struct Word {
  size_t n_calls = 0;
  Numbers given;
  Numbers taken_back;
};

Numbers Promised(const std::vector<Word>& words, size_t n_calls) {
  Numbers promised;
  for (const Word& word : words) {
    if (word.n_calls <= n_calls) {
      promised.insert(word.given.begin(), word.given.end());
      for (const uint64_t number : word.taken_back) {
        promised.erase(number);
      }
    }
  }
  return promised;
}

class StoredBlocks : public testing::Test {
 protected:
  StoredBlocks() : folder_(FolderOf("blocks")) { fs::remove_all(folder_); }
  ~StoredBlocks() override { fs::remove_all(folder_); }

  static constexpr uint64_t kLast = 10;  // the greatest number of a block

  std::unique_ptr<BlockStore> Open() {
    auto store = BlockStore::Open({.folder = folder_, .max_bytes = 8 * kPageBytes}, {1, 2}, layout_,
                                  ledger_);
    return store ? *std::move(store) : nullptr;
  }
  std::vector<std::byte> Content(uint64_t n) const {
    std::vector<std::byte> bytes(layout_.block_bytes());
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(n * 31 + i * (n + 1));
    }
    return bytes;
  }
  // What the store says it has saved of these.
  Numbers Save(BlockStore& store, const Numbers& numbers) const {
    std::map<uint64_t, std::vector<std::byte>> contents;
    for (const uint64_t n : numbers) {
      contents[n] = Content(n);
      if (!store.Save(RootKey(fmt::format("{}", n)), contents[n].data(), n)) {
        break;  // it refuses for a while
      }
    }
    EXPECT_TRUE(store.WaitForSaves(kLong));
    Numbers there;
    for (const auto& [ticket, is_there] : store.TakeSaved()) {
      if (is_there) {
        there.insert(ticket);
      }
    }
    return there;
  }
  // Those that come back. Each is as it was written.
  Numbers Restored(BlockStore& store) const {
    Numbers there;
    for (uint64_t n = 1; n <= kLast; ++n) {
      std::vector<std::byte> to(layout_.block_bytes());
      const BlockKey key = RootKey(fmt::format("{}", n));
      std::byte* const place = to.data();
      const auto restore = store.Begin({&key, 1}, {&place, 1});
      while (!restore->is_over()) {
        ::usleep(20);
      }
      if (restore->n_sound() == 1) {
        EXPECT_EQ(to, Content(n)) << "block " << n;
        there.insert(n);
      }
    }
    return there;
  }
  // Two processes' lives; the second makes room by evicting. What it was told is there.
  std::vector<Word> Use(const RecordedDisk& disk) {
    std::vector<Word> words;
    const auto save = [&](const std::unique_ptr<BlockStore>& store, const Numbers& numbers,
                          const Numbers& makes_room) {
      words.push_back({disk.n_calls(), {}, makes_room});
      const Numbers there = Save(*store, numbers);
      words.push_back({disk.n_calls(), there, {}});
    };
    if (const auto store = Open()) {
      save(store, {1, 2, 3}, {});
      save(store, {4, 5}, {});
      Expect(*store, Promised(words, SIZE_MAX));
    }
    if (const auto store = Open()) {
      save(store, {6}, {});
      save(store, {7, 8, 9, 10}, {1, 2, 3, 4});
      Expect(*store, Promised(words, SIZE_MAX));
    }
    return words;
  }
  void Expect(BlockStore& store, const Numbers& promised) const {
    const Numbers there = Restored(store);
    for (const uint64_t n : promised) {
      EXPECT_TRUE(there.contains(n)) << "block " << n << " was said to be there";
    }
  }
  // A state of the disk is as good as the store's word.
  void Check(const DiskImage& image, const Numbers& promised) {
    image.WriteTo(folder_);
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    Expect(*store, promised);
    EXPECT_EQ(store->stats().failed_blocks, 0U) << "a row whose block is not there";
  }

  fs::path folder_;
  // Of 3584 bytes, which are no whole page.
  BlockLayout layout_{
      std::vector<BlockLayout::Layer>{{.n_kv_heads = 2, .head_dim_k = 8, .head_dim_v = 4},
                                      {.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 16}}};
  memory::Ledger ledger_{64 << 20};
};

struct Recorded {
  std::vector<DiskCall> calls;
  std::vector<Word> words;
};

TEST_F(StoredBlocks, AfterAKillAtEveryCall) {
  Recorded recorded;
  {
    const RecordedDisk disk(folder_);
    recorded.words = Use(disk);
    recorded.calls = disk.calls();
  }
  std::set<DiskCall::Kind> kinds;
  for (const DiskCall& call : recorded.calls) {
    kinds.insert(call.kind);
  }
  ASSERT_TRUE(kinds.contains(DiskCall::Kind::kCreate) && kinds.contains(DiskCall::Kind::kWrite) &&
              kinds.contains(DiskCall::Kind::kSync) && kinds.contains(DiskCall::Kind::kRemove))
      << "calls are not seen";
  ASSERT_EQ(Promised(recorded.words, SIZE_MAX).size(), 6U);
  for (size_t n = 0; n <= recorded.calls.size() && !HasFailure(); ++n) {
    SCOPED_TRACE(fmt::format("killed after call {}", n));
    Check(AfterKill(recorded.calls, n), Promised(recorded.words, n));
  }
}

TEST_F(StoredBlocks, AfterALossOfPowerAtAnyMoment) {
  Recorded recorded;
  {
    const RecordedDisk disk(folder_);
    recorded.words = Use(disk);
    recorded.calls = disk.calls();
  }
  const uint64_t n_states = tests::IsNight() ? 10000 : 400;
  for (uint64_t i = 0; i < n_states && !HasFailure(); ++i) {
    const auto n =
        static_cast<size_t>(UniformAt(5, i) * static_cast<double>(recorded.calls.size() + 1));
    SCOPED_TRACE(fmt::format("state {}, power lost after call {}", i, n));
    Check(AfterPowerLoss(recorded.calls, n, i), Promised(recorded.words, n));
  }
}

// Each call fails by itself, and every one for a while from there on.
TEST_F(StoredBlocks, WhileCallsFail) {
  struct Fault {
    size_t n_failing;
    int error;
  };
  for (const auto& [n_failing, error] : {Fault{1, EIO}, Fault{1, ENOSPC}, Fault{12, ENOSPC}}) {
    size_t first = 0;
    for (bool has_failed = true; has_failed && !HasFailure(); first += tests::IsNight() ? 1U : 3U) {
      SCOPED_TRACE(fmt::format("{} calls from {} on fail with {}", n_failing, first, error));
      fs::remove_all(folder_);
      std::vector<Word> words;
      {
        RecordedDisk disk(folder_);
        disk.Fail(first, n_failing, error);
        words = Use(disk);
        has_failed = disk.n_failed() > 0;
      }
      const auto store = Open();
      ASSERT_NE(store, nullptr);
      Expect(*store, Promised(words, SIZE_MAX));
      EXPECT_EQ(Save(*store, {1}), Numbers{1});
    }
    EXPECT_GT(first, 40U);
  }
}

// A session that is saved twice.
class SavedTwice : public testing::Test {
 protected:
  SavedTwice() : folder_(FolderOf("session")) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~SavedTwice() override { fs::remove_all(folder_); }

  [[nodiscard]] fs::path Path() const { return folder_ / "chat"; }

  Result<> SaveVersion(uint64_t version) const {
    SavedSequence sequence;
    sequence.block_bytes = 640;
    sequence.tokens.assign(40 * version, static_cast<TokenId>(version));
    for (uint32_t i = 0; i < sequence.tokens.size(); ++i) {
      sequence.positions.push_back(i);
    }
    const std::vector<std::byte> block(sequence.block_bytes, static_cast<std::byte>(version));
    const std::vector<const std::byte*> blocks(sequence.n_blocks(), block.data());
    return SaveSequence(Path(), sequence, blocks, {});
  }
  // The version of the file, all of which is sound; 0: there is none.
  [[nodiscard]] uint64_t Version() const {
    if (!fs::exists(Path())) {
      return 0;
    }
    const auto file = SessionFile::Open(Path());
    EXPECT_TRUE(file) << file.error().message;
    if (!file) {
      return 0;
    }
    std::vector<std::byte> frame(file->block_stride());
    const auto sound = file->Verify(frame);
    EXPECT_TRUE(sound) << sound.error().message;
    return file->sequence().tokens.size() / 40;
  }
  Recorded Record() const {
    const RecordedDisk disk(folder_);
    Recorded recorded;
    for (const uint64_t version : {1U, 2U}) {
      EXPECT_TRUE(SaveVersion(version));
      recorded.words.push_back({disk.n_calls(), {version}, {}});
    }
    recorded.calls = disk.calls();
    return recorded;
  }
  void Check(const DiskImage& image, const Recorded& recorded, size_t n) const {
    image.WriteTo(folder_);
    const Numbers promised = Promised(recorded.words, n);
    EXPECT_GE(Version(), promised.empty() ? 0 : *promised.rbegin());
  }

  fs::path folder_;
};

TEST_F(SavedTwice, AfterAKillAtEveryCall) {
  const Recorded recorded = Record();
  ASSERT_GT(recorded.calls.size(), 8U);
  for (size_t n = 0; n <= recorded.calls.size() && !HasFailure(); ++n) {
    SCOPED_TRACE(fmt::format("killed after call {}", n));
    Check(AfterKill(recorded.calls, n), recorded, n);
  }
}

TEST_F(SavedTwice, AfterALossOfPowerAtAnyMoment) {
  const Recorded recorded = Record();
  const uint64_t n_states = tests::IsNight() ? 10000 : 1000;
  for (uint64_t i = 0; i < n_states && !HasFailure(); ++i) {
    const auto n =
        static_cast<size_t>(UniformAt(6, i) * static_cast<double>(recorded.calls.size() + 1));
    SCOPED_TRACE(fmt::format("state {}, power lost after call {}", i, n));
    Check(AfterPowerLoss(recorded.calls, n, i), recorded, n);
  }
}

TEST_F(SavedTwice, WhileACallFails) {
  ASSERT_TRUE(SaveVersion(1));
  bool has_failed = true;
  for (size_t first = 0; has_failed && !HasFailure(); ++first) {
    SCOPED_TRACE(fmt::format("call {} fails", first));
    {
      RecordedDisk disk(folder_);
      disk.Fail(first, 1, ENOSPC);
      const auto saved = SaveVersion(2);
      has_failed = disk.n_failed() > 0;
      EXPECT_EQ(saved.has_value(), !has_failed);
    }
    EXPECT_GE(Version(), has_failed ? 1U : 2U);
    ASSERT_TRUE(SaveVersion(1));
  }
}

}  // namespace
}  // namespace plimsoll::kv
