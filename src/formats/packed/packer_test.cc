#include "formats/packed/packer.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/gguf/reader.h"
#include "formats/gguf/writer.h"
#include "formats/packed/packed_file.h"
#include "formats/packed/verify.h"
#include "tensor/matrix.h"

namespace plimsoll::formats::packed {
namespace {

namespace fs = std::filesystem;
using tensor::DType;
using testing::HasSubstr;

struct Stack {
  std::string name;
  MatrixShape shape;
  uint32_t n_experts;
};

// In an order in which no expert's matrices are neighbours, with a tensor of no expert in between.
std::vector<Stack> SmallModel() {
  return {{"up", {DType::kQ8_0, 64, 33}, 4},  {"other", {DType::kF32, 100, 1}, 1},
          {"down", {DType::kF16, 33, 64}, 4}, {"gate", {DType::kQ4_0, 64, 33}, 4},
          {"up2", {DType::kQ4_K, 256, 3}, 2}, {"gate2", {DType::kQ6_K, 256, 3}, 2},
          {"down2", {DType::kBF16, 3, 16}, 2}};
}

// Three pieces; matrices cross their borders.
std::vector<Stack> LargeModel() {
  return {{"gate", {DType::kQ8_0, 512, 7000}, 3},
          {"up", {DType::kQ8_0, 512, 7000}, 3},
          {"down", {DType::kQ8_0, 7008, 512}, 3}};
}

bool IsNight() { return std::getenv("PLIMSOLL_NIGHT") != nullptr; }

class PackerTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void WriteModel(const std::vector<Stack>& stacks, uint32_t seed = 1) {
    std::vector<gguf::TensorDeclaration> tensors;
    for (const Stack& stack : stacks) {
      tensors.push_back({stack.name, stack.shape.dtype,
                         tensor::MakeShape(stack.shape.k, stack.shape.rows, stack.n_experts)});
    }
    auto writer = gguf::Writer::Create(model_, Metadata(), tensors).value();
    for (const gguf::TensorDeclaration& tensor : tensors) {
      std::vector<uint8_t> bytes(*tensor::BytesFor(tensor.dtype, tensor.shape.Elements()));
      for (uint8_t& byte : bytes) {
        seed = seed * 1664525 + 1013904223;
        byte = static_cast<uint8_t>(seed >> 24U);
      }
      ASSERT_TRUE(writer.Append(std::as_bytes(std::span(bytes))));
    }
    ASSERT_TRUE(writer.Finish());
  }

  // Layers by the names of their stacks; layer 1 has no experts.
  static std::vector<SourceLayer> Layers(const Catalogue& catalogue) {
    std::vector<SourceLayer> layers;
    for (const std::string suffix : {"", "none", "2"}) {
      SourceLayer& layer = layers.emplace_back();
      const std::array names = {"gate" + suffix, "up" + suffix, "down" + suffix};
      for (size_t p = 0; p < kNProjections; ++p) {
        const TensorEntry* entry = catalogue.Find(names[p]);
        if (entry == nullptr) {
          continue;
        }
        layer.shape.projections[p] = {entry->dtype, entry->shape.dims[0], entry->shape.dims[1]};
        layer.shape.n_experts = static_cast<uint32_t>(entry->shape.dims[2]);
        layer.experts.resize(layer.shape.n_experts);
        const uint64_t bytes = entry->bytes / layer.shape.n_experts;
        for (uint32_t e = 0; e < layer.shape.n_experts; ++e) {
          layer.experts[e][p] = {0, entry->ranges[0].offset + e * bytes, bytes};
        }
      }
    }
    return layers;
  }

  Result<PackOutcome> PackModel(const PackOptions& options = {}) const {
    const auto catalogue = gguf::Open(model_).value();
    return Pack(catalogue, Layers(catalogue), packed_, options);
  }
  // Ends after a number of buffers.
  Result<PackOutcome> PackSome(int n) const {
    PackOptions options;
    options.is_stopped = [&n] { return --n <= 0; };
    return PackModel(options);
  }
  std::string WholeFile() const { return io::ReadWhole(packed_, uint64_t{1} << 30U).value(); }
  // As it is without an interruption.
  std::string Reference() const {
    EXPECT_TRUE(PackModel());
    std::string bytes = WholeFile();
    fs::remove(packed_);
    return bytes;
  }
  static void FlipByte(const fs::path& path, uint64_t offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_packer_" + std::to_string(::getpid()));
  fs::path model_ = folder_ / "model.gguf";
  fs::path packed_ = PathBeside(model_);
  fs::path partial_ = packed_.string() + ".partial";
};

void ExpectSameBlocks(const tensor::Matrix& a, const tensor::Matrix& b) {
  const tensor::DTypeTraits& traits = tensor::Traits(a.dtype);
  std::vector<std::byte> block_a(traits.block_bytes);
  std::vector<std::byte> block_b(traits.block_bytes);
  for (uint64_t r = 0; r < a.rows; ++r) {
    for (uint64_t i = 0; i < a.k / traits.block_elements; ++i) {
      a.CopyBlock(r, i, block_a.data());
      b.CopyBlock(r, i, block_b.data());
      ASSERT_EQ(block_a, block_b) << traits.name << " row " << r << " block " << i;
    }
  }
}

TEST_F(PackerTest, EveryMatrixIsInItsExpertsRecord) {
  WriteModel(SmallModel());
  const auto outcome = PackModel();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->n_matrices, 18U);
  EXPECT_EQ(outcome->n_matrices_kept, 0U);
  EXPECT_EQ(outcome->read_bytes, fs::file_size(model_));
  EXPECT_EQ(outcome->file_bytes, fs::file_size(packed_));
  EXPECT_FALSE(fs::exists(partial_));

  const auto catalogue = gguf::Open(model_).value();
  const auto layers = Layers(catalogue);
  const auto packed = PackedFile::Open(packed_);
  ASSERT_TRUE(packed) << packed.error().message;
  const auto matches = packed->MatchesSource(catalogue);
  EXPECT_TRUE(matches) << matches.error().message;
  std::vector<LayerShape> shapes;
  for (uint32_t l = 0; l < layers.size(); ++l) {
    shapes.push_back(layers[l].shape);
    for (uint32_t e = 0; e < layers[l].shape.n_experts; ++e) {
      std::vector<std::byte> record(packed->layer(l).record_bytes);
      ASSERT_TRUE(packed->file()->ReadAt(packed->RecordOffset(l, e), record));
      for (size_t p = 0; p < kNProjections; ++p) {
        const Part& part = packed->layer(l).parts[p];
        EXPECT_TRUE(packed->IsSoundPart(l, e, p, record.data() + part.offset));
        const FileRange& range = layers[l].experts[e][p];
        std::vector<std::byte> native(range.bytes);
        ASSERT_TRUE(catalogue.files[0]->ReadAt(range.offset, native));
        const tensor::Matrix matrix = {.dtype = part.shape.dtype,
                                       .layout = tensor::Layout::kNative,
                                       .k = part.shape.k,
                                       .rows = part.shape.rows,
                                       .data = native.data()};
        tensor::Matrix rows16 = matrix;
        rows16.layout = tensor::Layout::kRows16;
        rows16.data = record.data() + part.offset;
        ExpectSameBlocks(matrix, rows16);
      }
    }
  }
  EXPECT_TRUE(packed->HasLayers(shapes));
}

TEST_F(PackerTest, IsGoneOnWithAfterEveryStop) {
  WriteModel(LargeModel());
  const std::string want = Reference();
  int n_runs = 0;
  while (true) {
    ++n_runs;
    // What is there already is looked at again each time.
    const auto outcome = PackSome(3 * n_runs);
    if (outcome) {
      EXPECT_GT(outcome->n_matrices_kept, 3U);
      break;
    }
    ASSERT_EQ(outcome.error().kind, ErrorKind::kInterrupted) << outcome.error().message;
    EXPECT_FALSE(fs::exists(packed_));
    ASSERT_LT(n_runs, 15);
  }
  EXPECT_GT(n_runs, 2);
  EXPECT_TRUE(WholeFile() == want);
}

TEST_F(PackerTest, IsGoneOnWithAfterKill) {
  WriteModel(LargeModel());
  const std::string want = Reference();
  std::vector<int> moments = {1, 4, 9};
  for (int i = 0; i < (IsNight() ? 200 : 0); ++i) {
    moments.push_back(1 + i * 7 % 13);
  }
  for (const int n_buffers : moments) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      PackOptions options;
      int n = 0;
      options.on_progress = [&](uint64_t, uint64_t) {
        if (++n == n_buffers) {
          ::raise(SIGKILL);
        }
      };
      ::_exit(PackModel(options) ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      EXPECT_FALSE(fs::exists(packed_));
      ASSERT_TRUE(fs::exists(partial_));
    } else {  // what was left took fewer buffers
      ASSERT_EQ(status, 0);
      EXPECT_TRUE(WholeFile() == want);
      fs::remove(packed_);
    }
  }
  const auto outcome = PackModel();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_GT(outcome->n_matrices_kept, 0U);
  EXPECT_TRUE(WholeFile() == want);
}

TEST_F(PackerTest, WhatIsDamagedInThePartialFileIsMadeAgain) {
  WriteModel(LargeModel());
  const std::string want = Reference();
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, want.data() + 16, sizeof header_bytes);
  const auto layout = [&] {
    const auto catalogue = gguf::Open(model_).value();
    std::vector<LayerShape> shapes;
    for (const SourceLayer& layer : Layers(catalogue)) {
      shapes.push_back(layer.shape);
    }
    return MakeLayout(shapes, header_bytes).value();
  }();
  // The first gate, a checksum of the second, the digest of the first piece.
  const std::vector<uint64_t> places = {layout.begin + 1000, 56 + 40 + 3 * 64 + 24,
                                        header_bytes - 8 - 48};
  for (const uint64_t place : places) {
    ASSERT_EQ(PackSome(8).error().kind, ErrorKind::kInterrupted);
    FlipByte(partial_, place);
    const auto outcome = PackModel();
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_GT(outcome->n_matrices_kept, 0U);
    EXPECT_TRUE(WholeFile() == want);
    fs::remove(packed_);
  }
}

TEST_F(PackerTest, BeginsAnewWhenTheModelIsAnother) {
  WriteModel(LargeModel());
  ASSERT_EQ(PackSome(8).error().kind, ErrorKind::kInterrupted);
  WriteModel(LargeModel(), 2);
  const auto outcome = PackModel();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->n_matrices_kept, 0U);
  const std::string got = WholeFile();
  fs::remove(packed_);
  EXPECT_TRUE(got == Reference());
  // And when what is there is no packed file at all.
  std::ofstream(partial_) << "something else";
  ASSERT_TRUE(PackModel());
  EXPECT_TRUE(WholeFile() == got);
}

TEST_F(PackerTest, OneThatIsFinishedButForItsNameGetsIt) {
  WriteModel(SmallModel());
  const std::string want = Reference();
  std::ofstream(partial_, std::ios::binary) << want;
  const auto outcome = PackModel();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(outcome->n_matrices_kept, outcome->n_matrices);
  EXPECT_EQ(outcome->read_bytes, 0U);
  EXPECT_TRUE(WholeFile() == want);
}

TEST_F(PackerTest, AModelThatChangesMeanwhileIsNamed) {
  WriteModel(LargeModel());
  PackOptions options;
  bool done = false;
  options.on_progress = [&](uint64_t, uint64_t) {
    if (!done) {
      FlipByte(model_, fs::file_size(model_) - 10);
      done = true;
    }
  };
  const auto outcome = PackModel(options);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kIo);
  EXPECT_THAT(outcome.error().message, HasSubstr("model.gguf"));
  EXPECT_FALSE(fs::exists(packed_));
  ASSERT_TRUE(PackModel());
  const auto packed = PackedFile::Open(packed_).value();
  const auto contents = VerifyModel(gguf::Open(model_).value(), &packed, {});
  EXPECT_TRUE(contents->damaged.empty());
}

// The limit on a file's size stands for the disk.
TEST_F(PackerTest, AFullDiskLeavesNothing) {
  WriteModel(SmallModel());
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit tight = {10'000, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto outcome = PackModel();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, old_handler);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().kind, ErrorKind::kIo);
  EXPECT_THAT(outcome.error().message, HasSubstr("cannot make room for"));
  EXPECT_FALSE(fs::exists(packed_));
  EXPECT_FALSE(fs::exists(partial_));
}

TEST_F(PackerTest, VerifyFindsEveryFlippedByteOfAPackedFile) {
  WriteModel(SmallModel());
  ASSERT_TRUE(PackModel());
  const std::string whole = WholeFile();
  const auto packed = PackedFile::Open(packed_).value();
  EXPECT_TRUE(VerifyRecords(packed, {}).value().empty());
  const uint64_t step = IsNight() ? std::max<uint64_t>(1, whole.size() / 10'000) : 997;
  for (uint64_t at = packed.header_bytes(); at < whole.size(); at += step) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const auto damaged_file =
        PackedFile::Open(io::File::FromBytes("damaged", std::as_bytes(std::span(bytes))).value());
    const auto damaged = VerifyRecords(damaged_file.value(), {});
    ASSERT_TRUE(damaged) << damaged.error().message;
    ASSERT_EQ(damaged->size(), 1U) << "byte " << at;
    const DamagedPart& part = damaged->front();
    ASSERT_LE(part.offset, at);
    const Layer& layer = packed.layer(part.layer);
    if (part.projection < kNProjections) {
      const Part& place = layer.parts[part.projection];
      ASSERT_EQ(part.offset, layer.RecordOffset(part.expert) + place.offset);
      ASSERT_LT(at, part.offset + place.covered_bytes);
    } else {
      ASSERT_LT(at, part.offset + kRecordAlignment);
    }
  }
}

TEST_F(PackerTest, VerifyNamesTheTensorsOfAModelThatIsDamaged) {
  WriteModel(LargeModel());
  ASSERT_TRUE(PackModel());
  const auto packed = PackedFile::Open(packed_).value();
  const fs::path copy = folder_ / "copy.gguf";
  fs::copy_file(model_, copy);
  const auto sound = VerifyModel(gguf::Open(copy).value(), &packed, {}).value();
  EXPECT_TRUE(sound.damaged.empty());
  ASSERT_EQ(sound.digests.size(), 1U);
  const std::string bytes = io::ReadWhole(copy, uint64_t{1} << 30U).value();
  EXPECT_EQ(sound.digests[0], io::Checksum128(std::as_bytes(std::span(bytes))));
  FlipByte(copy, 33'900'000);
  const auto catalogue = gguf::Open(copy).value();
  const auto contents = VerifyModel(catalogue, &packed, {}).value();
  ASSERT_EQ(contents.damaged.size(), 1U);
  EXPECT_EQ(contents.damaged[0].offset, 2 * kPieceBytes);
  EXPECT_THAT(contents.damaged[0].tensors, testing::ElementsAre("down"));
  EXPECT_NE(contents.digests, sound.digests);
  EXPECT_TRUE(packed.MatchesSource(catalogue));  // which is the cheap look
  EXPECT_TRUE(VerifyModel(catalogue, nullptr, {}).value().damaged.empty());
}

}  // namespace
}  // namespace plimsoll::formats::packed
