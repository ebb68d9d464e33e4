#include "formats/safetensors/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/safetensors/test_files.h"

namespace plimsoll::formats::safetensors {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<std::vector<RawTensor>> ReadTensors(std::string_view bytes) {
  return ReadHeader(*InMemory("x.safetensors", bytes));
}

// A header of one tensor 't' whose entry is `entry`, with 16 bytes of data.
Result<std::vector<RawTensor>> ReadEntry(std::string_view entry) {
  return ReadTensors(SafetensorsFile(fmt::format(R"({{"t":{}}})", entry), 16));
}

TEST(SafetensorsHeaderTest, ReadsTensorsInTheOrderOfTheirBytes) {
  const std::string json = R"({"__metadata__":{"format":"pt"},)"
                           R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
                           R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )";
  const auto tensors = ReadTensors(SafetensorsFile(json, 16));
  ASSERT_TRUE(tensors) << tensors.error().message;
  ASSERT_EQ(tensors->size(), 2U);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_THAT((*tensors)[0].dims, ElementsAre(1));
  EXPECT_EQ((*tensors)[0].offset, 8 + json.size());
  EXPECT_EQ((*tensors)[1].type, StoredType::kBF16);
  EXPECT_THAT((*tensors)[1].dims, ElementsAre(2, 3));
  EXPECT_EQ((*tensors)[1].bytes, 12U);
}

TEST(SafetensorsHeaderTest, RotaryTablesAreLeftOut) {
  const auto tensors = ReadTensors(
      TensorsJson().Add("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}).File());
  ASSERT_TRUE(tensors) << tensors.error().message;
  EXPECT_TRUE(tensors->empty());
}

struct BadHeader {
  std::string_view name;
  std::string bytes;
  std::string_view problem;
};

class BadHeaderTest : public testing::TestWithParam<BadHeader> {};
void PrintTo(const BadHeader& header, std::ostream* out) { *out << header.name; }

TEST_P(BadHeaderTest, IsRefused) {
  const auto tensors = ReadTensors(GetParam().bytes);
  ASSERT_FALSE(tensors);
  EXPECT_EQ(tensors.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(tensors.error().message, testing::StartsWith("x.safetensors: "));
  EXPECT_THAT(tensors.error().message, HasSubstr(std::string(GetParam().problem)));
}

std::string Length(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + "{}";
}

std::string Entry(std::string_view entry) {
  return SafetensorsFile(fmt::format(R"({{"t":{}}})", entry), 16);
}

const std::vector<BadHeader> kBadHeaders = {
    {"Empty", "", "ends after 0 bytes"},
    {"SevenBytes", "1234567", "ends after 7 bytes"},
    {"LengthBeyondTheFile", Length(3), "3 bytes do not fit into the 2"},
    {"LengthAboveTheCap", Length(kMaxHeaderBytes + 1), "33554433 is more than"},
    {"Length2To63", Length(uint64_t{1} << 63), "9223372036854775808 is more than"},
    {"LengthMax", Length(UINT64_MAX), "18446744073709551615 is more than"},
    {"NoJson", Length(0), "not a JSON object"},
    {"AnArray", SafetensorsFile("[]", 0), "not a JSON object"},
    {"CutJson", SafetensorsFile(R"({"t":)", 0), "not a JSON object"},
    {"TwoObjects", SafetensorsFile("{}{}", 0), "not a JSON object"},
    {"NotUtf8", SafetensorsFile("{\"\xff\":{}}", 0), "not a JSON object"},
    {"Deep", SafetensorsFile("{\"t\":" + std::string(10'000, '['), 0), "not a JSON object"},
    {"EntryIsANumber", Entry("1"), "tensor 't': expected an object"},
    {"NoDtype", Entry(R"({"shape":[4],"data_offsets":[0,16]})"), "the dtype \"\" is none"},
    {"DtypeIsANumber", Entry(R"({"dtype":1,"shape":[4],"data_offsets":[0,16]})"),
     "key 'dtype': expected a string"},
    {"Quantized", Entry(R"({"dtype":"Q4_0","shape":[4],"data_offsets":[0,16]})"), "\"Q4_0\" is"},
    {"LowerCase", Entry(R"({"dtype":"f32","shape":[4],"data_offsets":[0,16]})"), "\"f32\" is none"},
    {"EscapeInDtype", Entry(R"({"dtype":"\u001b[2J","shape":[4],"data_offsets":[0,16]})"),
     "\"\\x1b[2J\" is none"},
    {"NoShape", Entry(R"({"dtype":"F32","data_offsets":[0,16]})"), "'shape' must be a list"},
    {"NegativeDim", Entry(R"({"dtype":"F32","shape":[-4],"data_offsets":[0,16]})"), "'shape' must"},
    {"FractionalDim", Entry(R"({"dtype":"F32","shape":[4.0],"data_offsets":[0,16]})"), "'shape'"},
    {"NineDims", Entry(R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,4],"data_offsets":[0,16]})"),
     "up to 8"},
    {"ZeroDim", Entry(R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})"), "has a 0"},
    {"ElementsOverflow",
     Entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]})"),
     "or overflows"},
    {"BytesOverflow",
     Entry(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})"),
     "or overflows"},
    {"NoOffsets", Entry(R"({"dtype":"F32","shape":[4]})"), "'data_offsets' must be two"},
    {"OneOffset", Entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0]})"), "must be two"},
    {"NegativeOffset", Entry(R"({"dtype":"F32","shape":[4],"data_offsets":[-16,0]})"),
     "must be two"},
    {"OffsetsTurned", Entry(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})"),
     "[16, 0] are not inside the 16 bytes"},
    {"OffsetsBeyondTheFile", Entry(R"({"dtype":"F32","shape":[5],"data_offsets":[0,20]})"),
     "[0, 20] are not inside the 16 bytes"},
    {"OffsetsMax",
     Entry(
         R"({"dtype":"F32","shape":[4],"data_offsets":[18446744073709551599,18446744073709551615]})"),
     "are not inside"},
    {"ShapeSaysLess", Entry(R"({"dtype":"F16","shape":[4],"data_offsets":[0,16]})"),
     "hold 16 bytes, its shape 8"},
    {"GapBefore", Entry(R"({"dtype":"F32","shape":[3],"data_offsets":[4,16]})"), "its data begins"},
    {"GapBehind", Entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"),
     "its tensors end at byte"},
    {"DataWithoutTensors", SafetensorsFile("{}", 4), "its tensors end at byte 10, the file at"},
    {"Overlap",
     SafetensorsFile(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                     R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                     12),
     "tensor 'b': its data begins"},
    {"SameName",
     SafetensorsFile(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                     R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                     8),
     "tensor 'a': is there twice"},
};

INSTANTIATE_TEST_SUITE_P(Safetensors, BadHeaderTest, testing::ValuesIn(kBadHeaders),
                         [](const auto& tested) { return std::string(tested.param.name); });

TEST(SafetensorsHeaderTest, EveryCutIsRefused) {
  const std::string whole = TensorsJson().Add("a", "F32", {2, 2}).Add("b", "F16", {3}).File();
  ASSERT_TRUE(ReadTensors(whole));
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    const auto tensors = ReadTensors(whole.substr(0, cut));
    ASSERT_FALSE(tensors) << cut;
    EXPECT_EQ(tensors.error().kind, ErrorKind::kBadModel);
  }
}

TEST(SafetensorsHeaderTest, EntriesAreReadWhateverTheirOrder) {
  EXPECT_TRUE(ReadEntry(R"({"data_offsets":[0,16],"shape":[2,2],"dtype":"F32","more":null})"));
}

}  // namespace
}  // namespace plimsoll::formats::safetensors
