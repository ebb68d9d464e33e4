#include "formats/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::formats {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
void ExpectBadModel(const Result<T>& result, std::string_view part) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(result.error().message, HasSubstr(std::string(part)));
}

Value Integers(ValueType type, std::vector<int64_t> values) {
  return {ValueType::kArray, Array{type, std::move(values)}};
}

TEST(MetadataTest, ScalarsComeBack) {
  Metadata m;
  m.SetU32("a.count", 48);
  m.SetF32("a.eps", 1e-6F);
  m.SetBool("a.flag", true);
  m.SetString("a.name", "olmoe");
  EXPECT_EQ(*m.U32("a.count"), 48U);
  EXPECT_EQ(*m.F32("a.eps"), 1e-6F);
  EXPECT_TRUE(*m.BoolOr("a.flag", false));
  EXPECT_EQ(*m.String("a.name"), "olmoe");
  EXPECT_TRUE(m.Has("a.eps"));
  EXPECT_FALSE(m.Has("a.ep"));
  EXPECT_THAT(m.keys(), ElementsAre("a.count", "a.eps", "a.flag", "a.name"));
}

TEST(MetadataTest, SettingAKeyAgainReplacesItInPlace) {
  Metadata m;
  m.SetU32("a", 1);
  m.SetU32("b", 2);
  m.SetString("a", "three");
  EXPECT_EQ(*m.String("a"), "three");
  EXPECT_THAT(m.keys(), ElementsAre("a", "b"));
}

TEST(MetadataTest, IntegersOfEveryWidthFitOrAreRefused) {
  Metadata m;
  m.Set("u8", {ValueType::kU8, int64_t{255}});
  m.Set("max", {ValueType::kU64, uint64_t{UINT32_MAX}});
  m.Set("above", {ValueType::kU64, uint64_t{UINT32_MAX} + 1});
  m.Set("negative", {ValueType::kI32, int64_t{-1}});
  EXPECT_EQ(*m.U32("u8"), 255U);
  EXPECT_EQ(*m.U32("max"), UINT32_MAX);
  ExpectBadModel(m.U32("above"), "'above' holds 4294967296");
  ExpectBadModel(m.U32("negative"), "'negative' holds -1");
  ExpectBadModel(m.U32Or("negative", 7), "'negative' holds -1");
}

TEST(MetadataTest, MissingAndWrongTypesNameTheKey) {
  Metadata m;
  m.SetString("text", "1");
  m.SetU32("number", 1);
  m.Set("numbers", Integers(ValueType::kI16, {1}));
  ExpectBadModel(m.U32("none"), "'none' is missing");
  ExpectBadModel(m.F32("none"), "'none' is missing");
  ExpectBadModel(m.String("none"), "'none' is missing");
  ExpectBadModel(m.U32("text"), "'text' holds string; expected an integer");
  ExpectBadModel(m.U32("numbers"), "'numbers' holds array of I16; expected an integer");
  ExpectBadModel(m.F32("number"), "'number' holds U32; expected a float");
  ExpectBadModel(m.BoolOr("number", true), "'number' holds U32; expected a bool");
  ExpectBadModel(m.StringOr("number", ""), "'number' holds U32; expected a string");
  ExpectBadModel(m.Strings("numbers"), "'numbers' holds array of I16; expected an array of str");
  ExpectBadModel(m.Integers("number"), "'number' holds U32; expected an array of integers");
  ExpectBadModel(m.Floats("numbers"), "'numbers' holds array of I16; expected an array of floats");
}

TEST(MetadataTest, FallbacksStandForMissingKeysOnly) {
  const Metadata m;
  EXPECT_EQ(*m.U32Or("none", 3), 3U);
  EXPECT_EQ(*m.F32Or("none", 0.5F), 0.5F);
  EXPECT_TRUE(*m.BoolOr("none", true));
  EXPECT_EQ(*m.StringOr("none", "x"), "x");
  EXPECT_EQ(*m.Strings("none"), nullptr);
  EXPECT_EQ(*m.Integers("none"), std::nullopt);
  EXPECT_EQ(*m.Floats("none"), std::nullopt);
}

TEST(MetadataTest, Arrays) {
  Metadata m;
  m.SetStrings("s", {"a", "b"});
  m.Set("i", Integers(ValueType::kI8, {-1, 2}));
  m.Set("u", {ValueType::kArray, Array{ValueType::kU64, std::vector<uint64_t>{1, 2}}});
  m.Set("big", {ValueType::kArray, Array{ValueType::kU64, std::vector<uint64_t>{UINT64_MAX}}});
  m.Set("f", {ValueType::kArray, Array{ValueType::kF64, std::vector<double>{0.5, -1}}});
  EXPECT_THAT(**m.Strings("s"), ElementsAre("a", "b"));
  EXPECT_THAT(**m.Integers("i"), ElementsAre(-1, 2));
  EXPECT_THAT(**m.Integers("u"), ElementsAre(1, 2));
  EXPECT_THAT(**m.Floats("f"), ElementsAre(0.5F, -1.0F));
  ExpectBadModel(m.Integers("big"), "'big' holds 18446744073709551615");
  EXPECT_EQ(std::get<Array>(m.Find("s")->value).size(), 2U);
}

TEST(MetadataTest, PerLayerTakesOneValueOrOneALayer) {
  Metadata m;
  m.SetU32("one", 8);
  m.Set("each", Integers(ValueType::kI32, {1, 2, 3}));
  m.Set("negative", Integers(ValueType::kI32, {1, -2, 3}));
  m.SetStrings("words", {"a", "b", "c"});
  EXPECT_THAT(*m.U32PerLayer("one", 3), ElementsAre(8, 8, 8));
  EXPECT_THAT(*m.U32PerLayer("each", 3), ElementsAre(1, 2, 3));
  ExpectBadModel(m.U32PerLayer("each", 2), "'each' has 3 values; the model has 2 layers");
  ExpectBadModel(m.U32PerLayer("negative", 3), "'negative' holds -2");
  ExpectBadModel(m.U32PerLayer("words", 3), "'words' holds array of string");
  ExpectBadModel(m.U32PerLayer("none", 3), "'none' is missing");
  ExpectBadModel(m.U32PerLayer("one", UINT32_MAX), "more than a model can have");
}

TEST(MetadataTest, EveryValueTypeHasAName) {
  EXPECT_EQ(ValueTypeName(ValueType::kU8), "U8");
  EXPECT_EQ(ValueTypeName(ValueType::kF64), "F64");
  EXPECT_EQ(ValueTypeName(static_cast<ValueType>(13)), "unknown type");
}

}  // namespace
}  // namespace plimsoll::formats
