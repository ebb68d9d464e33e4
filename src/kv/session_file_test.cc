#include "kv/session_file.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rng.h"

namespace plimsoll::kv {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr uint64_t kPage = io::kIoAlignment;
constexpr uint64_t kBlockBytesHere = 640;

std::vector<std::byte> Noise(uint64_t n, uint64_t seed) {
  std::vector<std::byte> bytes(n);
  uint64_t state = seed;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    byte = static_cast<std::byte>(state >> 56U);
  }
  return bytes;
}

void FlipBit(std::string& bytes, uint64_t bit) {
  char& byte = bytes[bit / 8];
  byte = static_cast<char>(static_cast<unsigned char>(byte) ^ (1U << bit % 8));
}

class SessionFileTest : public testing::Test {
 protected:
  SessionFileTest()
      : path_(fs::temp_directory_path() / fmt::format("plimsoll-session-{}", ::getpid())) {
    sequence_.model = {1, 2};
    sequence_.layout = {3, 4};
    sequence_.block_bytes = kBlockBytesHere;
    sequence_.note = "what was said";
    Tokens(45, 40);
  }
  ~SessionFileTest() override { fs::remove(path_); }

  void Tokens(uint32_t n_tokens, uint32_t n_slots) {
    sequence_.tokens.resize(n_tokens);
    std::iota(sequence_.tokens.begin(), sequence_.tokens.end(), 100);
    sequence_.positions.resize(n_slots);
    std::iota(sequence_.positions.begin(), sequence_.positions.end(), 0U);
  }

  // The bytes of the file that is saved.
  std::string Save() {
    blocks_.clear();
    at_.clear();
    for (uint64_t i = 0; i < sequence_.n_blocks(); ++i) {
      blocks_.push_back(Noise(sequence_.block_bytes, i + 1));
    }
    for (const auto& block : blocks_) {
      at_.push_back(block.data());
    }
    state_ = Noise(sequence_.state_bytes, 99);
    const auto saved = SaveSequence(path_, sequence_, at_, state_);
    EXPECT_TRUE(saved) << saved.error().message;
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static Result<SessionFile> Open(std::string_view bytes) {
    return SessionFile::Open(io::File::FromBytes("chat", AsBytes(bytes)).value());
  }
  // Opens it and looks at every byte.
  static Result<> Check(std::string_view bytes) {
    return Check(io::File::FromBytes("chat", AsBytes(bytes)).value());
  }
  static Result<> Check(std::shared_ptr<const io::File> bytes) {
    auto file = SessionFile::Open(std::move(bytes));
    if (!file) {
      return Forward(file);
    }
    std::vector<std::byte> frame(std::max(file->block_stride(), file->state_stride()));
    return file->Verify(frame);
  }

  fs::path path_;
  SavedSequence sequence_;
  std::vector<std::vector<std::byte>> blocks_;
  std::vector<const std::byte*> at_;
  std::vector<std::byte> state_;
};

TEST_F(SessionFileTest, WhatIsSavedComesBack) {
  sequence_.state_bytes = 5000;
  Save();
  const auto file = SessionFile::Open(path_);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->sequence().tokens, sequence_.tokens);
  EXPECT_EQ(file->sequence().positions, sequence_.positions);
  EXPECT_EQ(file->sequence().note, "what was said");
  EXPECT_EQ(file->sequence().model, sequence_.model);
  EXPECT_EQ(file->sequence().layout, sequence_.layout);
  ASSERT_EQ(file->sequence().n_blocks(), 2U);
  std::vector<std::byte> frame(file->block_stride());
  for (uint64_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(file->ReadBlock(i, frame));
    EXPECT_TRUE(std::ranges::equal(std::span(frame).first(kBlockBytesHere), blocks_[i]));
  }
  frame.resize(file->state_stride());
  ASSERT_TRUE(file->ReadState(frame));
  EXPECT_TRUE(std::ranges::equal(std::span(frame).first(5000), state_));
  EXPECT_TRUE(file->Verify(frame));
}

TEST_F(SessionFileTest, IsForItsOwnersEyesAndAlignedForDirectReads) {
  const std::string bytes = Save();
  struct stat status = {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(bytes.size(), 3 * kPage);
  EXPECT_EQ(std::memcmp(bytes.data() + kPage, blocks_[0].data(), kBlockBytesHere), 0);
}

TEST_F(SessionFileTest, ASequenceMayHoldNothing) {
  Tokens(0, 0);
  sequence_.note.clear();
  EXPECT_TRUE(Check(Save()));
  Tokens(7, 0);
  EXPECT_TRUE(Check(Save()));
}

// Every one of them, in all of the file.
TEST_F(SessionFileTest, AnyFlippedBitIsDetected) {
  const bool night = std::getenv("PLIMSOLL_NIGHT") != nullptr;
  Tokens(45, night ? 14 * kBlockTokens - 3 : 40);
  sequence_.tokens.resize(std::max<size_t>(sequence_.positions.size(), 45), 1);
  sequence_.state_bytes = 100;
  std::string bytes = Save();
  ASSERT_EQ(bytes.size(), night ? 16 * kPage : 4 * kPage);
  const auto file = io::File::FromBytes("chat", AsBytes(bytes)).value();
  ASSERT_TRUE(Check(file));
  struct stat opened = {};
  ASSERT_EQ(::fstat(file->descriptor(), &opened), 0);
  // As a disk does it, which leaves no trace in the file's times.
  const auto flip_in_file = [&](uint64_t bit) {
    FlipBit(bytes, bit);
    const std::array times = {opened.st_atim, opened.st_mtim};
    return ::pwrite(file->descriptor(), &bytes[bit / 8], 1, static_cast<off_t>(bit / 8)) == 1 &&
           ::futimens(file->descriptor(), times.data()) == 0;
  };
  for (uint64_t bit = 0; bit < bytes.size() * 8; ++bit) {
    ASSERT_TRUE(flip_in_file(bit));
    ASSERT_FALSE(Check(file)) << "bit " << bit;
    ASSERT_TRUE(flip_in_file(bit));
  }
  ASSERT_TRUE(Check(file));
}

TEST_F(SessionFileTest, AnyFlippedBitOfALargeFileIsDetected) {
  sequence_.block_bytes = 40000;
  Tokens(1000, 1000);
  std::string bytes = Save();
  ASSERT_GT(bytes.size(), 1000000U);
  const uint64_t n = std::getenv("PLIMSOLL_NIGHT") != nullptr ? 100000 : 300;
  for (uint64_t i = 0; i < n; ++i) {
    const auto drawn =
        static_cast<uint64_t>(UniformAt(7, i) * static_cast<double>(bytes.size() * 8));
    FlipBit(bytes, drawn);
    ASSERT_FALSE(Check(bytes)) << drawn;
    FlipBit(bytes, drawn);
  }
}

TEST_F(SessionFileTest, BlocksThatChangedPlacesAreDetected) {
  std::string bytes = Save();
  std::swap_ranges(bytes.begin() + kPage, bytes.begin() + 2 * kPage, bytes.begin() + 2 * kPage);
  EXPECT_THAT(Check(bytes).error().message, HasSubstr("block 0 is damaged"));
}

TEST_F(SessionFileTest, WhatWasCutShortSaysSoAtEveryLength) {
  const std::string bytes = Save();
  for (size_t n = 0; n < bytes.size(); n += n < 200 ? 1 : 97) {
    const auto file = Open(bytes.substr(0, n));
    EXPECT_EQ(file.has_value(), n >= kPage) << n;
    EXPECT_FALSE(Check(bytes.substr(0, n))) << n;
  }
  // The blocks before the cut are there.
  const auto file = Open(bytes.substr(0, 2 * kPage));
  ASSERT_TRUE(file);
  std::vector<std::byte> frame(kPage);
  EXPECT_TRUE(file->ReadBlock(0, frame));
  EXPECT_THAT(file->ReadBlock(1, frame).error().message, HasSubstr("cut short"));
  EXPECT_THAT(Check(bytes + "x").error().message, HasSubstr("instead of"));
}

TEST_F(SessionFileTest, OtherVersionsAreRefusedByName) {
  std::string bytes = Save();
  bytes[8] = 2;
  const auto opened = Open(bytes);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(opened.error().message, HasSubstr("version 2 of session files is not supported"));
  EXPECT_THAT(Open("GGUF").error().message, HasSubstr("is no session file"));
  EXPECT_THAT(Open("PLIMSESS").error().message, HasSubstr("ends within its header"));
}

// What a checksum does not stop: numbers that somebody put there.
TEST_F(SessionFileTest, NumbersBeyondTheLimitsAreRefusedBeforeTheyAreBelieved) {
  const std::string sound = Save();
  const auto refused = [&](size_t at, uint64_t value, size_t n_bytes) {
    std::string bytes = sound;
    std::memcpy(bytes.data() + at, &value, n_bytes);
    const uint64_t checksum = io::Checksum64(AsBytes(bytes).first(kPage - 8));
    std::memcpy(bytes.data() + kPage - 8, &checksum, 8);
    return !Open(bytes).has_value();
  };
  for (const uint64_t value : {uint64_t{0}, uint64_t{46}, uint64_t{UINT32_MAX}}) {
    EXPECT_TRUE(refused(12, value == 46 ? 39 : value, 4));  // tokens
    EXPECT_TRUE(refused(56, value, 4));                     // slots
    EXPECT_TRUE(refused(60, value, 4));                     // tokens of a block
  }
  for (const uint64_t value : {uint64_t{0}, kPage + 1, uint64_t{1} << 40U, UINT64_MAX}) {
    EXPECT_TRUE(refused(16, value, 8));                       // the header
    EXPECT_TRUE(refused(24, value, 8));                       // the file
    EXPECT_TRUE(refused(32, value, 8));                       // a block
    EXPECT_TRUE(refused(40, value == 0 ? 1 : value, 8));      // the state
    EXPECT_TRUE(refused(48, value == 0 ? kPage : value, 8));  // the note
  }
}

TEST_F(SessionFileTest, ASaveThatFailsLeavesTheOldFile) {
  const std::string bytes = Save();
  EXPECT_EQ(SaveSequence(path_ / "below", sequence_, at_, state_).error().kind, ErrorKind::kIo);
  EXPECT_TRUE(Check(bytes));
}

TEST(LayoutDigest, ChangesWithAnyShape) {
  const BlockLayout::Layer layer = {.n_kv_heads = 2, .head_dim_k = 8, .head_dim_v = 8};
  BlockLayout::Layer shared = layer;
  shared.values_in_keys = true;
  const auto digest = LayoutDigest(BlockLayout({layer}));
  EXPECT_EQ(digest, LayoutDigest(BlockLayout({layer})));
  EXPECT_NE(digest, LayoutDigest(BlockLayout({shared})));
  EXPECT_NE(digest, LayoutDigest(BlockLayout({layer, layer})));
  // As many bytes in another arrangement.
  EXPECT_NE(digest,
            LayoutDigest(BlockLayout({{.n_kv_heads = 4, .head_dim_k = 4, .head_dim_v = 4}})));
}

}  // namespace
}  // namespace plimsoll::kv
