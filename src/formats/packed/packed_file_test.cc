#include "formats/packed/packed_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/thread_time.h"
#include "formats/gguf/raw_file.h"
#include "formats/packed/source.h"
#include "formats/packed/test_packed.h"
#include "tensor/matrix.h"

namespace plimsoll::formats::packed {
namespace {

using gguf::RawFile;
using tensor::DType;
using testing::HasSubstr;

std::shared_ptr<const io::File> FileOf(const std::string& bytes) {
  return io::File::FromBytes("test.plimsoll", std::as_bytes(std::span(bytes))).value();
}

uint64_t HeaderBytes(const std::string& file) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, file.data() + 16, sizeof bytes);
  return bytes;
}

// What every packed file that opens promises.
void ExpectSound(const PackedFile& packed) {
  uint64_t end = 0;
  for (uint32_t l = 0; l < packed.layers().size(); ++l) {
    const Layer& layer = packed.layer(l);
    for (uint32_t e = 0; e < layer.n_experts; ++e) {
      const uint64_t begin = packed.RecordOffset(l, e);
      ASSERT_EQ(begin % kRecordAlignment, 0U);
      ASSERT_GE(begin, end);
      end = begin + layer.stride;
      ASSERT_LE(end, packed.file()->size());
      uint64_t at = 0;
      for (const Part& part : layer.parts) {
        ASSERT_EQ(part.offset, at);
        ASSERT_EQ(part.offset % kPartAlignment, 0U);
        ASSERT_EQ(part.bytes, *tensor::BytesFor(part.shape.dtype, part.shape.k * part.shape.rows));
        ASSERT_LE(part.bytes, part.covered_bytes);
        ASSERT_LE(at + part.bytes + tensor::kReadablePadding, layer.record_bytes);
        at += part.covered_bytes;
      }
      ASSERT_EQ(at, layer.record_bytes);
      ASSERT_LE(layer.record_bytes, layer.stride);
      (void)packed.Checksum(l, e, kNProjections - 1);
    }
  }
}

TEST(PackedFile, OpensAndFindsEveryRecord) {
  const std::string bytes = TestFile();
  const auto packed = PackedFile::Open(FileOf(bytes));
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_EQ(packed->n_records(), 5U);
  EXPECT_EQ(packed->layers().size(), 3U);
  EXPECT_EQ(packed->layer(1).n_experts, 0U);
  ExpectSound(*packed);
  EXPECT_TRUE(packed->HasLayers(TestLayers()));
  for (const uint32_t l : {0U, 2U}) {
    for (uint32_t e = 0; e < packed->layer(l).n_experts; ++e) {
      std::vector<std::byte> record(packed->layer(l).record_bytes);
      ASSERT_TRUE(packed->file()->ReadAt(packed->RecordOffset(l, e), record));
      for (size_t p = 0; p < kNProjections; ++p) {
        const std::byte* at = record.data() + packed->layer(l).parts[p].offset;
        EXPECT_TRUE(packed->IsSoundPart(l, e, p, at));
      }
    }
  }
}

TEST(PackedFile, EveryFlippedBitOfARecordIsFoundInItsPart) {
  const std::string bytes = TestFile();
  const auto packed = PackedFile::Open(FileOf(bytes)).value();
  std::vector<std::byte> record(packed.layer(2).record_bytes);
  ASSERT_TRUE(packed.file()->ReadAt(packed.RecordOffset(2, 1), record));
  for (uint64_t bit = 0; bit < record.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1U << bit % 8);
    record[bit / 8] ^= mask;
    for (size_t p = 0; p < kNProjections; ++p) {
      const Part& part = packed.layer(2).parts[p];
      const bool inside = bit / 8 >= part.offset && bit / 8 < part.offset + part.covered_bytes;
      ASSERT_EQ(packed.IsSoundPart(2, 1, p, record.data() + part.offset), !inside) << bit;
    }
    record[bit / 8] ^= mask;
  }
  EXPECT_THAT(packed.Damaged(2, 1, 2).message,
              HasSubstr("test.plimsoll: layer 2, expert 1: the down matrix is damaged"));
}

TEST(PackedFile, EveryFlippedBitOfTheHeaderIsRefused) {
  std::string bytes = TestFile();
  const uint64_t header_bytes = HeaderBytes(bytes);
  for (uint64_t bit = 0; bit < header_bytes * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ static_cast<int>(1U << bit % 8));
    const auto packed = PackedFile::Open(FileOf(bytes));
    ASSERT_FALSE(packed) << "bit " << bit;
    EXPECT_EQ(packed.error().kind, ErrorKind::kBadModel);
    EXPECT_THAT(packed.error().message, testing::ContainsRegex(R"(\(at byte [0-9]+\))"));
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ static_cast<int>(1U << bit % 8));
  }
}

TEST(PackedFile, EveryTruncationIsRefused) {
  const std::string bytes = TestFile();
  for (uint64_t cut = 0; cut < bytes.size(); cut += cut < HeaderBytes(bytes) ? 1U : 97U) {
    const auto packed = PackedFile::Open(FileOf(bytes.substr(0, cut)));
    ASSERT_FALSE(packed) << cut;
    EXPECT_EQ(packed.error().kind, ErrorKind::kBadModel);
  }
  EXPECT_FALSE(PackedFile::Open(FileOf(bytes + "x")));
}

// Every number of the header at every extreme, with a checksum that is right.
TEST(PackedFile, EveryNumberAtEveryExtreme) {
  const MatrixShape matrix = {DType::kQ8_0, 32, 2};
  const LayerShape layer = {2, {matrix, matrix, matrix}};
  const std::vector<LayerShape> layers = {layer, {}, layer};
  const std::string whole = TestFile(layers);
  const uint64_t header_bytes = HeaderBytes(whole);
  std::vector<uint64_t> values = {0, 1, 2, 3, 64, uint64_t{1} << 62U, (uint64_t{1} << 63U) - 1};
  for (const uint64_t limit :
       {uint64_t{kMaxLayers}, uint64_t{kMaxExperts}, uint64_t{kMaxRecords},
        uint64_t{kMaxSourceFiles}, uint64_t{kMaxPieces}, kPieceBytes, header_bytes,
        uint64_t{whole.size()}, uint64_t{1} << 31U, uint64_t{1} << 32U, uint64_t{1} << 60U,
        uint64_t{1} << 63U, uint64_t{0}}) {
    values.insert(values.end(), {limit - 1, limit, limit + 1, limit * kPieceBytes});
  }
  int n_opened = 0;
  int n_files = 0;
  const uint64_t tables = PlaceTables(TestSources(), layers).value().checksums;
  std::ranges::sort(values);
  values.erase(std::ranges::unique(values).begin(), values.end());
  for (uint64_t at = 8; at < tables + 16; at += 4) {
    for (const uint64_t n : {uint64_t{4}, uint64_t{8}}) {
      if (at % n != 0) {
        continue;
      }
      for (const uint64_t value : values) {
        std::string bytes = whole;
        std::memcpy(bytes.data() + at, &value, n);
        Seal(bytes, header_bytes);
        const auto packed = PackedFile::Open(FileOf(bytes));
        ++n_files;
        if (packed) {
          ++n_opened;
          ExpectSound(*packed);
          ASSERT_FALSE(HasFatalFailure()) << "byte " << at << " set to " << value;
        } else {
          EXPECT_EQ(packed.error().kind, ErrorKind::kBadModel) << packed.error().message;
          EXPECT_LT(packed.error().message.size(), 400U);
        }
      }
    }
  }
  EXPECT_GT(n_files, 4000);
  EXPECT_GT(n_opened, 0);  // digests and checksums may be anything
}

TEST(PackedFile, SaysWhatIsWrong) {
  const auto message = [](std::string bytes, uint64_t at, uint64_t value, size_t n) {
    const uint64_t header_bytes = HeaderBytes(bytes);
    std::memcpy(bytes.data() + at, &value, n);
    Seal(bytes, header_bytes);
    return PackedFile::Open(FileOf(bytes)).error().message;
  };
  const std::string bytes = TestFile();
  EXPECT_THAT(message(bytes, 8, 2, 4), HasSubstr("version 2 of packed files is not supported"));
  EXPECT_THAT(message(bytes, 12, 0, 4), HasSubstr("not finished; plimsoll pack MODEL goes on"));
  EXPECT_THAT(message(bytes, 12, 9, 4), HasSubstr("no state"));
  EXPECT_THAT(message(bytes, 24, 5, 8), HasSubstr("was cut short or is not whole (at byte 24)"));
  EXPECT_THAT(message(bytes, 32, 5, 8), HasSubstr("another version of Plimsoll packed it"));
  EXPECT_THAT(message(bytes, 48, 0, 4), HasSubstr("0 source files"));
  EXPECT_THAT(message(bytes, 52, 5000, 4), HasSubstr("5000 layers"));
  const uint64_t layer0 = 56 + 2 * 40;
  EXPECT_THAT(message(bytes, layer0 + 4, 999, 4), HasSubstr("layer 0: gate: type 999"));
  EXPECT_THAT(message(bytes, layer0 + 16, 33, 8),
              HasSubstr("layer 0: gate: no Q8_0 matrix has 20 rows of length 33"));
  EXPECT_THAT(message(bytes, layer0 + 64 + 16, 32, 8), HasSubstr("layer 1: no experts, but"));
  EXPECT_THAT(PackedFile::Open(FileOf("GGUF")).error().message,
              HasSubstr(R"("GGUF" instead of "PLIMPACK")"));
}

// Files of the first version stay good when a type is added.
TEST(PackedFile, LaterTypesCountInTheFingerprintWhereTheyAre) {
  const auto of = [](DType dtype) {
    const MatrixShape gate = {dtype, 512, 256};
    return LayoutFingerprint(std::vector<LayerShape>(2, {4, {gate, gate, {dtype, 256, 512}}}));
  };
  constexpr uint64_t kOfTheFirstVersion = 0x1d3ef06c05b9933f;
  EXPECT_EQ(of(DType::kQ4_K), kOfTheFirstVersion);
  EXPECT_NE(of(DType::kIQ2_XXS), kOfTheFirstVersion);
  EXPECT_NE(of(DType::kIQ2_XXS), of(DType::kTQ1_0));
}

// A model of 60 layers with 256 experts, above 100 GB, whose records are a hole.
TEST(PackedFile, TheLargestModelsOpenQuickly) {
  const MatrixShape gate = {DType::kQ4_K, 7168, 2048};
  const std::vector<LayerShape> layers(60, {256, {gate, gate, {DType::kQ4_K, 2048, 7168}}});
  const std::vector<SourceFile> sources(
      30, {.bytes = uint64_t{13} << 30U, .header_bytes = 100, .header_digest = {}});
  Header header{
      .layout_fingerprint = LayoutFingerprint(layers), .sources = sources, .layers = layers};
  header.pieces.resize(30 * (uint64_t{13} << 30U) / kPieceBytes);
  header.checksums.resize(uint64_t{60} * 256 * kNProjections, 7);
  const auto layout = MakeLayout(layers, PlaceTables(sources, layers).value().header_bytes).value();
  EXPECT_GT(layout.file_bytes, uint64_t{300} << 30U);
  const std::string encoded = Encode(header);
  const auto path = std::filesystem::path(testing::TempDir()) / "plimsoll_packed_huge";
  {
    std::ofstream(path, std::ios::binary) << encoded;
    std::filesystem::resize_file(path, layout.file_bytes);
  }
  const double begin = ThreadSeconds();
  const auto packed = PackedFile::Open(path);
  const double took = ThreadSeconds() - begin;
  std::filesystem::remove(path);
  ASSERT_TRUE(packed) << packed.error().message;
  EXPECT_LT(took, 1);
  EXPECT_LT(packed->header_bytes(), 2U << 20U);  // and so the tables that it becomes
  EXPECT_EQ(packed->RecordOffset(59, 255) + packed->layer(59).stride, layout.file_bytes);
}

RawFile Model(std::string_view name, uint64_t offset = 0) {
  RawFile raw(2, 1);
  raw.KeyString("general.name", name);
  raw.Tensor("a", {32, 2, 2}, DType::kQ8_0, offset).Tensor("b", {8}, DType::kF32, offset + 160);
  return raw.Data(offset + 160 + 32);
}

TEST(PackedFile, BelongsToWhatItWasPackedFrom) {
  const auto catalogue = Model("one").Read().value();
  const auto sources = IdentifySources(catalogue).value();
  ASSERT_EQ(sources.size(), 1U);
  EXPECT_EQ(sources[0].bytes, Model("one").size());
  EXPECT_LT(sources[0].header_bytes, 200U);
  const auto packed = PackedFile::Open(FileOf(TestFile(TestLayers(), sources))).value();
  const auto error = [&](const RawFile& raw) {
    const auto same = packed.MatchesSource(gguf::Read(raw.File("other name")).value());
    return same ? std::string("it matches") : same.error().message;
  };
  EXPECT_EQ(error(Model("one")), "it matches");
  EXPECT_THAT(error(Model("two")), HasSubstr("the metadata or the tensor table of other name"));
  EXPECT_THAT(error(Model("three")), HasSubstr("plimsoll pack"));
  RawFile longer = Model("one");
  longer.Data(32);
  EXPECT_THAT(error(longer), HasSubstr("bytes, and other name has"));
  auto layers = TestLayers();
  layers[2].n_experts = 3;
  EXPECT_THAT(packed.HasLayers(layers).error().message, HasSubstr("layer 2"));
  layers.pop_back();
  EXPECT_THAT(packed.HasLayers(layers).error().message, HasSubstr("3 layers, and the model has 2"));
}

}  // namespace
}  // namespace plimsoll::formats::packed
