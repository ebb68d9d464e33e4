#include "model/loader.h"

#include <bit>
#include <cstring>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace plimsoll::model {
namespace {

using tensor::DType;
using tensor::MakeShape;

// A catalogue of tensors that lie one behind another in a file in memory.
formats::Catalogue CatalogueOf(std::vector<formats::TensorEntry> entries, std::string bytes) {
  formats::Catalogue catalogue;
  auto file = io::File::FromBytes("test", std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(file);
  catalogue.files.push_back(*file);
  uint64_t offset = 0;
  for (formats::TensorEntry& entry : entries) {
    entry.bytes = *tensor::BytesFor(entry.dtype, entry.shape.Elements());
    entry.ranges = {{.offset = offset, .bytes = entry.bytes}};
    offset += entry.bytes;
    EXPECT_TRUE(catalogue.Add(std::move(entry)));
  }
  return catalogue;
}

std::string ErrorOf(const formats::Catalogue& catalogue, const Declarations& declarations) {
  const auto bound = BindTensors(catalogue, declarations);
  EXPECT_FALSE(bound);
  return bound ? "" : bound.error().message;
}

TEST(BindTensors, NamesWhatIsMissingOrOfAnotherShapeOrType) {
  Vector norm;
  tensor::Matrix matrix;
  Declarations declarations;
  declarations.AddVector("norm", {4}, norm);
  declarations.AddMatrix("matrix", 32, 2, matrix);
  const formats::TensorEntry good_norm = {.name = "norm", .shape = MakeShape(4)};
  const formats::TensorEntry good_matrix = {
      .name = "matrix", .dtype = DType::kQ8_0, .shape = MakeShape(32, 2)};
  EXPECT_TRUE(BindTensors(CatalogueOf({good_norm, good_matrix}, ""), declarations));

  EXPECT_EQ(ErrorOf(CatalogueOf({good_norm}, ""), declarations),
            "the tensor matrix [32, 2] is missing");
  formats::TensorEntry turned = good_matrix;
  turned.shape = MakeShape(64, 1);
  EXPECT_EQ(ErrorOf(CatalogueOf({good_norm, turned}, ""), declarations),
            "tensor matrix has the shape [64, 1], expected is [32, 2]");
  formats::TensorEntry packed = good_norm;
  packed.shape = MakeShape(32);
  packed.dtype = DType::kQ8_0;
  Declarations wide;
  wide.AddVector("norm", {32}, norm);
  EXPECT_EQ(ErrorOf(CatalogueOf({packed}, ""), wide), "tensor norm is Q8_0, expected are floats");
}

TEST(BindTensors, OptionalOnesMayBeAbsentButNotWrong) {
  Vector bias;
  Declarations declarations;
  declarations.AddVector("bias", {4}, bias, Need::kOptional);
  EXPECT_TRUE(BindTensors(CatalogueOf({}, ""), declarations)->empty());
  EXPECT_NE(ErrorOf(CatalogueOf({{.name = "bias", .shape = MakeShape(5)}}, ""), declarations), "");
}

TEST(LoadTensors, WidensVectorsPointsTargetsAndChargesTheLedger) {
  Vector norm;
  tensor::MatrixStack experts;
  Declarations declarations;
  declarations.AddVector("norm", {3}, norm);
  declarations.AddStack("experts", 2, 1, 2, experts);
  // 1, -2 and 0.5 in BF16; then two 2 x 1 matrices in F32.
  const uint16_t halves[] = {0x3F80, 0xC000, 0x3F00};
  const float floats[] = {1, 2, 3, 4};
  std::string bytes(reinterpret_cast<const char*>(halves), sizeof(halves));
  bytes.append(reinterpret_cast<const char*>(floats), sizeof(floats));
  const auto catalogue =
      CatalogueOf({{.name = "norm", .dtype = DType::kBF16, .shape = MakeShape(3)},
                   {.name = "experts", .shape = MakeShape(2, 1, 2)}},
                  bytes);
  memory::Ledger ledger(kMiB);
  const auto bound = BindTensors(catalogue, declarations);
  ASSERT_TRUE(bound);
  uint64_t read = 0;
  const auto buffers = LoadTensors(catalogue, *bound, ledger, [&](uint64_t n) { read += n; });
  ASSERT_TRUE(buffers) << buffers.error().message;
  EXPECT_EQ(read, bytes.size());
  EXPECT_EQ(std::vector<float>(norm.begin(), norm.end()), (std::vector<float>{1, -2, 0.5F}));
  EXPECT_EQ(experts.n, 2U);
  EXPECT_EQ(reinterpret_cast<const float*>(experts[1].data)[1], 4.0F);
  const auto accounts = ledger.Snapshot().accounts;
  EXPECT_GT(accounts[static_cast<size_t>(memory::Account::kExperts)].bytes, 0U);
  EXPECT_GT(accounts[static_cast<size_t>(memory::Account::kWeights)].bytes, 0U);
}

TEST(LoadTensors, AReadThatFailsNamesTheTensor) {
  Vector norm;
  Declarations declarations;
  declarations.AddVector("norm", {4}, norm);
  const auto catalogue = CatalogueOf({{.name = "norm", .shape = MakeShape(4)}}, "short");
  memory::Ledger ledger(kMiB);
  const auto loaded =
      LoadTensors(catalogue, *BindTensors(catalogue, declarations), ledger, [](uint64_t) {});
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().kind, ErrorKind::kIo);
  EXPECT_TRUE(loaded.error().message.starts_with("tensor norm: ")) << loaded.error().message;
  EXPECT_EQ(ledger.available_bytes(), kMiB);
}

}  // namespace
}  // namespace plimsoll::model
