#include "kv/store/block_store.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/rng.h"

namespace plimsoll::kv {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr auto kLong = std::chrono::seconds(60);

// Of 3584 bytes, which are no whole page; or of two pages.
BlockLayout OddLayout() {
  return BlockLayout({{.n_kv_heads = 2, .head_dim_k = 8, .head_dim_v = 4},
                      {.n_kv_heads = 1, .head_dim_k = 16, .head_dim_v = 16}});
}
BlockLayout PageLayout() {
  return BlockLayout({{.n_kv_heads = 2, .head_dim_k = 32, .head_dim_v = 32}});
}

BlockKey Name(uint64_t n) { return RootKey(fmt::format("{}", n)); }

class BlockStoreTest : public testing::Test {
 protected:
  BlockStoreTest()
      : folder_(fs::temp_directory_path() / fmt::format("plimsoll-store-{}", ::getpid())) {
    fs::remove_all(folder_);
  }
  ~BlockStoreTest() override { fs::remove_all(folder_); }

  std::unique_ptr<BlockStore> Open(uint64_t n_blocks = 8) {
    auto store = TryOpen(n_blocks);
    EXPECT_TRUE(store) << store.error().message;
    return *std::move(store);
  }
  Result<std::unique_ptr<BlockStore>> TryOpen(uint64_t n_blocks = 8) {
    return BlockStore::Open({.folder = folder_,
                             .max_bytes = n_blocks * AlignUp<uint64_t>(layout_.block_bytes(), 4096),
                             .on_note = [this](std::string_view note) { notes_ += note; }},
                            model_, layout_, ledger_);
  }
  // What block n holds.
  std::vector<std::byte> Content(uint64_t n) const {
    std::vector<std::byte> bytes(layout_.block_bytes());
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>(n * 31 + i * (n + 1));
    }
    return bytes;
  }
  // Saves these blocks together; how many are there then.
  size_t Save(BlockStore& store, std::vector<uint64_t> numbers) const {
    std::vector<std::vector<std::byte>> contents;
    for (const uint64_t n : numbers) {
      contents.push_back(Content(n));
      EXPECT_TRUE(store.Save(Name(n), contents.back().data(), n));
    }
    EXPECT_TRUE(store.WaitForSaves(kLong));
    size_t n_there = 0;
    for (const auto& [ticket, is_there] : store.TakeSaved()) {
      n_there += is_there ? 1 : 0;
    }
    return n_there;
  }
  // Reads a run of blocks; how many of them came back. Each that does is right.
  size_t Restore(BlockStore& store, std::vector<uint64_t> numbers) {
    memory::Buffer to = memory::Buffer::Allocate(ledger_, memory::Account::kKv,
                                                 numbers.size() * layout_.block_bytes(), "blocks")
                            .value();
    std::vector<BlockKey> names;
    std::vector<std::byte*> places;
    for (size_t i = 0; i < numbers.size(); ++i) {
      names.push_back(Name(numbers[i]));
      places.push_back(to.data() + i * layout_.block_bytes());
    }
    const auto restore = store.Begin(names, places);
    while (!restore->is_over()) {
      ::usleep(100);
    }
    for (size_t i = 0; i < restore->n_sound(); ++i) {
      EXPECT_TRUE(
          std::ranges::equal(std::span(places[i], layout_.block_bytes()), Content(numbers[i])))
          << "block " << numbers[i];
    }
    return restore->n_sound();
  }
  fs::path Own() const {
    for (const auto& entry : fs::directory_iterator(folder_)) {
      return entry.path();
    }
    return {};
  }
  static void FlipBit(const fs::path& path, uint64_t bit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(bit / 8));
    const auto byte = static_cast<unsigned>(file.get());
    file.seekp(static_cast<std::streamoff>(bit / 8));
    file.put(static_cast<char>(byte ^ (1U << bit % 8)));
  }

  fs::path folder_;
  io::Digest128 model_ = {1, 2};
  BlockLayout layout_ = OddLayout();
  memory::Ledger ledger_{64 << 20};
  std::string notes_;
};

TEST_F(BlockStoreTest, WhatIsSavedComesBackInThisRunAndTheNext) {
  for (const bool pages : {false, true}) {
    layout_ = pages ? PageLayout() : OddLayout();
    {
      const auto store = Open();
      EXPECT_EQ(Save(*store, {1, 2, 3}), 3U);
      EXPECT_EQ(Restore(*store, {1, 2, 3}), 3U);
      EXPECT_TRUE(store->Has(Name(2)));
      EXPECT_FALSE(store->Has(Name(4)));
      EXPECT_EQ(Restore(*store, {2, 4, 3}), 1U);  // as far as they are there
      EXPECT_EQ(store->stats().n_blocks, 3U);
      EXPECT_EQ(store->stats().saved_blocks, 3U);
      EXPECT_EQ(store->stats().restored_blocks, 4U);
      EXPECT_NE(store->ReadSpeedAt(BlockStore::Clock::now()), ReadSpeed::kAssumed);
    }
    const auto store = Open();
    EXPECT_EQ(Restore(*store, {3, 2, 1}), 3U);
    EXPECT_EQ(store->stats().failed_blocks, 0U);
  }
}

TEST_F(BlockStoreTest, IsForItsOwnersEyesAndSaysNothingOfTokens) {
  const auto store = Open();
  EXPECT_EQ(Save(*store, {1}), 1U);
  const auto mode_of = [](const fs::path& path) {
    struct stat status = {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777U;
  };
  EXPECT_EQ(mode_of(folder_), 0700U);
  EXPECT_EQ(mode_of(Own()), 0700U);
  for (const auto& entry : fs::directory_iterator(Own())) {
    EXPECT_EQ(mode_of(entry.path()), 0600U) << entry.path();
  }
}

TEST_F(BlockStoreTest, TheTablesAreUnderTheLine) {
  const auto before = ledger_.Snapshot();
  const auto store = Open(100);
  const auto after = ledger_.Snapshot();
  EXPECT_EQ(after.of(memory::Account::kIndex).bytes - before.of(memory::Account::kIndex).bytes,
            BlockStore::TableBytes(100 * 4096, layout_.block_bytes()));
  EXPECT_EQ(after.of(memory::Account::kIo).bytes, BlockStore::BufferBytes(layout_.block_bytes()));
  memory::Ledger small(kKiB);
  const auto refused =
      BlockStore::Open({.folder = folder_ / "other", .max_bytes = 1 << 20}, model_, layout_, small);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
}

TEST_F(BlockStoreTest, WhatWasUsedLongestAgoMakesRoom) {
  {
    const auto store = Open(4);
    EXPECT_EQ(Save(*store, {1, 2, 3, 4}), 4U);
    store->Touch(Name(1));
    EXPECT_EQ(Save(*store, {5, 6}), 2U);
    EXPECT_TRUE(store->Has(Name(1)));
    EXPECT_FALSE(store->Has(Name(2)));
    EXPECT_FALSE(store->Has(Name(3)));
    EXPECT_EQ(Restore(*store, {4, 1}), 2U);  // uses them too
    EXPECT_EQ(store->stats().evicted_blocks, 2U);
  }
  {
    const auto store = Open(4);
    EXPECT_EQ(Save(*store, {7, 8}), 2U);
    EXPECT_EQ(Restore(*store, {1, 4, 7, 8}), 4U);
    EXPECT_EQ(fs::file_size(Own() / "blocks"), 4U * 4096);
  }
  // A lower limit.
  const auto store = Open(2);
  EXPECT_LE(store->stats().n_blocks, 2U);
  EXPECT_LE(fs::file_size(Own() / "blocks"), 2U * 4096);
  EXPECT_EQ(Save(*store, {9, 10}), 2U);
  EXPECT_EQ(Restore(*store, {9, 10}), 2U);
}

TEST_F(BlockStoreTest, NoMoreIsTakenThanCanBeUnderWay) {
  const auto store = Open(1000);
  const auto content = Content(0);
  uint64_t n = 0;
  while (n < 1000 && store->Save(Name(n), content.data(), n)) {
    ++n;
  }
  EXPECT_GE(n, 64U);
  EXPECT_TRUE(store->WaitForSaves(kLong));
}

TEST_F(BlockStoreTest, DamageIsAsIfItHadNeverBeenThere) {
  {
    const auto store = Open();
    EXPECT_EQ(Save(*store, {1, 2, 3}), 3U);
  }
  FlipBit(Own() / "blocks", (4096 + 77) * 8 + 3);
  {
    const auto store = Open();
    size_t n_sound = 0;
    for (const uint64_t n : {1U, 2U, 3U}) {
      n_sound += Restore(*store, {n});
    }
    EXPECT_EQ(n_sound, 2U);
    EXPECT_EQ(store->stats().failed_blocks, 1U);
    EXPECT_EQ(store->stats().n_blocks, 2U);
    EXPECT_THAT(notes_, HasSubstr("damaged"));
  }
  const auto store = Open();
  EXPECT_EQ(store->stats().n_blocks, 2U);  // its row has gone too
}

TEST_F(BlockStoreTest, ABlockThatWasCutOffIsNotThere) {
  {
    const auto store = Open();
    EXPECT_EQ(Save(*store, {1, 2, 3}), 3U);
  }
  fs::resize_file(Own() / "blocks", 2 * 4096 + 100);
  const auto store = Open();
  EXPECT_EQ(store->stats().n_blocks, 2U);
}

// Whatever becomes of the catalogue, no block is given out that is not what its name says.
TEST_F(BlockStoreTest, ADamagedCatalogueIsNeverBelieved) {
  const std::vector<uint64_t> numbers = {1, 2, 3, 4, 5};
  {
    const auto store = Open();
    EXPECT_EQ(Save(*store, numbers), 5U);
  }
  const fs::path sound = folder_.string() + "-sound";
  fs::remove_all(sound);
  fs::copy(Own(), sound, fs::copy_options::recursive);
  const uint64_t n_bits = fs::file_size(sound / "catalogue.db") * 8;
  const uint64_t n_flips = std::getenv("PLIMSOLL_NIGHT") != nullptr ? 5000 : 60;
  for (uint64_t i = 0; i < n_flips; ++i) {
    const fs::path own = Own();
    fs::remove_all(own);
    fs::copy(sound, own, fs::copy_options::recursive);
    FlipBit(own / "catalogue.db",
            static_cast<uint64_t>(UniformAt(3, i) * static_cast<double>(n_bits)));
    const auto store = TryOpen();
    ASSERT_TRUE(store) << store.error().message;
    for (const uint64_t n : numbers) {
      static_cast<void>(Restore(**store, {n}));
    }
    EXPECT_EQ(Save(**store, {6}), 1U);
    EXPECT_EQ(Restore(**store, {6}), 1U);
  }
  fs::remove_all(sound);
}

TEST_F(BlockStoreTest, WhatIsNoCatalogueIsPutAside) {
  {
    const auto store = Open();
    EXPECT_EQ(Save(*store, {1}), 1U);
  }
  const fs::path own = Own();
  std::ofstream(own / "catalogue.db", std::ios::binary) << std::string(10000, 'x');
  fs::remove(own / "catalogue.db-wal");
  const auto store = Open();
  EXPECT_EQ(store->stats().n_blocks, 0U);
  EXPECT_TRUE(fs::exists(own / "catalogue.db.damaged"));
  EXPECT_THAT(notes_, HasSubstr("put aside"));
  EXPECT_EQ(Save(*store, {1}), 1U);
  EXPECT_EQ(Restore(*store, {1}), 1U);
}

TEST_F(BlockStoreTest, AFolderIsOfOneProcessAndOneModel) {
  auto store = Open();
  const auto second = TryOpen();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kFailed);
  EXPECT_EQ(Save(*store, {1}), 1U);
  store.reset();
  // Another model finds nothing of it, and what it leaves goes when there is too much. What is
  // another's stays.
  fs::create_directory(folder_ / "somebody's");
  std::ofstream(folder_ / "somebody's" / "lock") << "own";
  model_ = {7, 8};
  const auto other = Open();
  EXPECT_FALSE(other->Has(Name(1)));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 2);
  EXPECT_TRUE(fs::exists(folder_ / "somebody's" / "lock"));
}

// A file that may not grow, as on a full disk: nothing is lost but what was to be saved.
TEST_F(BlockStoreTest, AFullDiskIsSaidAndTriedAgain) {
  const auto store = Open(32);
  EXPECT_EQ(Save(*store, {1, 2}), 2U);
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit low = {.rlim_cur = 2 * 4096, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &low);
  EXPECT_EQ(Save(*store, {3}), 0U);
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old);
  EXPECT_EQ(store->stats().failed_blocks, 1U);
  EXPECT_THAT(notes_, HasSubstr("were not saved"));
  EXPECT_EQ(Restore(*store, {1, 2}), 2U);
  // It refuses for a while.
  const auto content = Content(3);
  while (!store->Save(Name(3), content.data(), 3)) {
    ::usleep(1000);
  }
  ASSERT_TRUE(store->WaitForSaves(kLong));
  EXPECT_TRUE(store->TakeSaved().at(0).is_there);
  EXPECT_EQ(Save(*store, {4}), 1U);
  EXPECT_EQ(Restore(*store, {1, 2, 3, 4}), 4U);
}

TEST_F(BlockStoreTest, ARestoreCanBeGivenUp) {
  const auto store = Open(64);
  EXPECT_EQ(Save(*store, {1, 2, 3}), 3U);
  for (int i = 0; i < 200; ++i) {
    std::vector<std::vector<std::byte>> to(3, std::vector<std::byte>(layout_.block_bytes()));
    const std::vector<BlockKey> names = {Name(1), Name(2), Name(3)};
    const std::vector<std::byte*> places = {to[0].data(), to[1].data(), to[2].data()};
    const auto restore = store->Begin(names, places);
  }
  EXPECT_EQ(Restore(*store, {1, 2, 3}), 3U);
}

// What the process said was saved is there, whenever it was killed, and all that is there is right.
TEST_F(BlockStoreTest, KilledAtAnyMomentItKeepsWhatItSaidWasThere) {
  const uint64_t n_kills = std::getenv("PLIMSOLL_NIGHT") != nullptr ? 1000 : 25;
  for (uint64_t i = 0; i < n_kills; ++i) {
    std::array<int, 2> pipe = {};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = TryOpen(12).value();
      for (uint64_t n = i * 1000;; n += 3) {
        Save(*store, {n, n + 1, n + 2});
        static_cast<void>(!::write(pipe[1], &n, sizeof n));
      }
    }
    ::close(pipe[1]);
    uint64_t last = UINT64_MAX;
    static_cast<void>(!::read(pipe[0], &last, sizeof last));
    ::usleep(static_cast<useconds_t>(UniformAt(11, i) * 20000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(pipe[0], &last, sizeof last) > 0) {
    }
    ::close(pipe[0]);
    const auto store = Open(12);
    ASSERT_NE(last, UINT64_MAX);
    // The last three that it spoke of; those before may have made room.
    ASSERT_EQ(Restore(*store, {last, last + 1, last + 2}), 3U) << "kill " << i;
    EXPECT_LE(store->stats().n_blocks, 12U);
    for (uint64_t n = i * 1000; n < last + 6; ++n) {
      static_cast<void>(Restore(*store, {n}));
    }
    EXPECT_EQ(store->stats().failed_blocks, 0U) << "kill " << i;
  }
}

TEST(BlockKey, SaysOwnerAndAllTokensBefore) {
  const std::vector<TokenId> a = {1, 2, 3};
  const std::vector<TokenId> b = {1, 2, 4};
  EXPECT_NE(RootKey("a"), RootKey("b"));
  EXPECT_EQ(NextKey(RootKey("a"), a), NextKey(RootKey("a"), a));
  EXPECT_NE(NextKey(RootKey("a"), a), NextKey(RootKey("a"), b));
  EXPECT_NE(NextKey(RootKey("a"), a), NextKey(RootKey("b"), a));
  EXPECT_NE(NextKey(NextKey(RootKey("a"), a), b), NextKey(NextKey(RootKey("a"), b), b));
}

}  // namespace
}  // namespace plimsoll::kv
