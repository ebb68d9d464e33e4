// Every known way to break a GGUF reader, as a file: each must be refused, by name and byte.
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/gguf/limits.h"
#include "formats/gguf/raw_file.h"

namespace plimsoll::formats::gguf {
namespace {

using tensor::DType;

constexpr uint64_t k2To63 = uint64_t{1} << 63;

struct HostileFile {
  std::string_view name;
  std::function<RawFile()> make;
  std::string_view field;    // what the message must name
  std::string_view problem;  // what it must say
};

void PrintTo(const HostileFile& file, std::ostream* out) { *out << file.name; }

class HostileGgufTest : public testing::TestWithParam<HostileFile> {};

TEST_P(HostileGgufTest, IsRefusedByNameAndByte) {
  const HostileFile& hostile = GetParam();
  const RawFile raw = hostile.make();
  const auto catalogue = raw.Read();
  ASSERT_FALSE(catalogue);
  EXPECT_EQ(catalogue.error().kind, ErrorKind::kBadModel);
  const std::string& message = catalogue.error().message;
  EXPECT_THAT(message, testing::StartsWith("raw.gguf: " + std::string(hostile.field)));
  EXPECT_THAT(message, testing::HasSubstr(std::string(hostile.problem)));
  EXPECT_THAT(message, testing::ContainsRegex(R"(\(at byte [0-9]+\)$)"));
}

RawFile Start(std::string_view magic, uint32_t version) {
  RawFile raw;
  raw.Bytes(magic).Put(version).Put<uint64_t>(0).Put<uint64_t>(0);
  return raw;
}

RawFile OneKey() { return {0, 1}; }
RawFile OneTensor() { return {1, 0}; }

RawFile Alignment(uint32_t value) {
  RawFile raw = OneKey();
  raw.KeyU32("general.alignment", value);
  return raw;
}

// One tensor of the given type number and dimensions, with data for 64 bytes.
RawFile Shaped(std::initializer_list<uint64_t> dims, uint32_t type) {
  RawFile raw = OneTensor();
  raw.Tensor("t", dims, static_cast<DType>(type), 0).Data(64);
  return raw;
}
RawFile Shaped(std::initializer_list<uint64_t> dims, DType type) {
  return Shaped(dims, static_cast<uint32_t>(type));
}

RawFile At(uint64_t offset) {
  RawFile raw = OneTensor();
  raw.Tensor("t", {8}, DType::kF32, offset).Data(64);
  return raw;
}

RawFile TwoTensors(std::string_view second, uint64_t first_elements, uint64_t second_offset) {
  RawFile raw(2, 0);
  raw.Tensor("a", {first_elements}, DType::kF32, 0);
  raw.Tensor(second, {8}, DType::kF32, second_offset).Data(1024);
  return raw;
}

const std::vector<HostileFile> kHeaders = {
    {"Empty", [] { return RawFile(); }, "magic", "4 bytes"},
    {"OneByte", [] { return RawFile().Bytes("G"); }, "magic", "ends here"},
    {"FourBytes_CVE_2024_39720", [] { return RawFile().Bytes("GGUF"); }, "version", "ends here"},
    {"OtherMagic", [] { return Start("GGML", 3); }, "magic", "\"GGML\" instead of \"GGUF\""},
    {"LowerCaseMagic", [] { return Start("gguf", 3); }, "magic", "no GGUF file"},
    {"UnprintableMagic", [] { return Start("\x1b[2J", 3); }, "magic", "\\x1b[2J"},
    {"Version0", [] { return Start("GGUF", 0); }, "version", "version 0 is not supported"},
    {"Version1", [] { return Start("GGUF", 1); }, "version", "version 1 is not supported"},
    {"Version4", [] { return Start("GGUF", 4); }, "version", "version 4 is not supported"},
    {"VersionMax", [] { return Start("GGUF", UINT32_MAX); }, "version", "4294967295"},
    {"BigEndian", [] { return Start("GGUF", 0x03000000); }, "version", "big-endian"},
    {"NoCounts", [] { return RawFile().Bytes("GGUF").Put<uint32_t>(3); }, "tensor count", "ends"},
    {"TensorsAboveTheCap", [] { return RawFile(kMaxTensors + 1, 0); }, "tensor count",
     "262145 are more than the 262144"},
    {"TensorsBeyondTheFile", [] { return RawFile(2, 0).Data(0); }, "tensor count",
     "2 do not fit into the"},
    {"TensorsOverflow_TALOS_2024_1913", [] { return RawFile(k2To63, 0); }, "tensor count",
     "9223372036854775808 are more"},
    {"KeysAboveTheCap", [] { return RawFile(0, kMaxKeys + 1); }, "key count", "65537 are more"},
    {"KeysBeyondTheFile", [] { return RawFile(0, 1).Data(0); }, "key count", "1 do not fit"},
    {"KeysOverflow_TALOS_2024_1915", [] { return RawFile(0, UINT64_MAX); }, "key count",
     "18446744073709551615 are more"},
};

const std::vector<HostileFile> kKeys = {
    {"EmptyKey", [] { return OneKey().KeyU32("", 1); }, "key number 0", "empty"},
    {"LongKey", [] { return OneKey().KeyU32(std::string(65'536, 'k'), 1); }, "key number 0",
     "65536 bytes is longer than the 65535"},
    {"KeyBeyondTheFile", [] { return OneKey().Put<uint64_t>(1000).Data(64); }, "key number 0",
     "1000 bytes does not fit"},
    {"KeyLengthWraps_TALOS_2024_1914", [] { return OneKey().Put<uint64_t>(UINT64_MAX).Data(64); },
     "key number 0", "18446744073709551615 bytes is longer"},
    {"KeyIsNoUtf8", [] { return OneKey().KeyU32("a\xff", 1); }, "key number 0",
     "\"a\\xff\" is not UTF-8"},
    {"KeyIsOverlongUtf8", [] { return OneKey().KeyU32("\xc0\xaf", 1); }, "key number 0",
     "not UTF-8"},
    {"KeyIsASurrogate", [] { return OneKey().KeyU32("\xed\xa0\x80", 1); }, "key number 0",
     "not UTF-8"},
    {"KeyTwice", [] { return RawFile(0, 2).KeyU32("k", 1).KeyU32("k", 1); }, "key 'k'", "twice"},
    {"KeyTwiceOfTwoTypes", [] { return RawFile(0, 2).KeyU32("k", 1).KeyString("k", "v"); },
     "key 'k'", "twice"},
    {"AlignmentTwice",
     [] { return RawFile(0, 2).KeyU32("general.alignment", 32).KeyU32("general.alignment", 8); },
     "key 'general.alignment'", "twice"},
    {"KeyThatNamesAFile",
     [] { return OneKey().KeyString("plimsoll.tokenizer_json", "/etc/passwd"); },
     "key 'plimsoll.tokenizer_json'", "may not name other files"},
    {"KeyWithEscapeSequence", [] { return OneKey().Key("\x1b]0;x\x07", ValueType(99)).Data(64); },
     "key '\\x1b]0;x\\x07'", "99"},
};

const std::vector<HostileFile> kValues = {
    {"ValueType13", [] { return OneKey().Key("k", ValueType(13)).Data(64); }, "key 'k'",
     "value type 13 does not exist; types are 0 to 12"},
    {"ValueTypeMax", [] { return OneKey().Key("k", ValueType(UINT32_MAX)).Data(64); }, "key 'k'",
     "value type 4294967295 does not exist"},
    {"ValueMissing", [] { return OneKey().Key("k12", ValueType::kU64); }, "key 'k12'",
     "8 bytes too early"},
    {"StringBeyondTheFile",
     [] { return OneKey().Key("k", ValueType::kString).Put<uint64_t>(500).Data(64); }, "key 'k'",
     "500 bytes does not fit"},
    {"StringAboveTheCap",
     [] { return OneKey().Key("k", ValueType::kString).Put(kMaxStringBytes + 1).Data(64); },
     "key 'k'", "16777217 bytes is longer"},
    {"StringOf2To31_CVE_2024_66960",
     [] { return OneKey().Key("k", ValueType::kString).Put(uint64_t{1} << 31).Data(64); },
     "key 'k'", "2147483648 bytes is longer"},
    {"StringOf2To63", [] { return OneKey().Key("k", ValueType::kString).Put(k2To63).Data(64); },
     "key 'k'", "9223372036854775808 bytes is longer"},
    {"BoolOf2", [] { return OneKey().Key("k", ValueType::kBool).Put<uint8_t>(2); }, "key 'k'",
     "a bool is 0 or 1, this one is 2"},
    {"BoolOf255InAnArray",
     [] { return OneKey().KeyArray("k", ValueType::kBool, 1).Put<uint8_t>(255); }, "key 'k'",
     "this one is 255"},
    {"ArrayOfArrays", [] { return OneKey().KeyArray("k", ValueType::kArray, 1).Data(64); },
     "key 'k'", "array of arrays"},
    {"ArrayOfUnknownType_TALOS_2024_1916",
     [] { return OneKey().KeyArray("k", ValueType(13), 1).Data(64); }, "key 'k'",
     "value type 13 does not exist"},
    {"ArrayOf2To63_PR_27188", [] { return OneKey().KeyArray("k", ValueType::kU8, k2To63); },
     "key 'k'", "9223372036854775808 elements is longer"},
    {"ArrayAboveTheCap",
     [] { return OneKey().KeyArray("k", ValueType::kU8, kMaxArrayElements + 1).Data(64); },
     "key 'k'", "16777217 elements is longer than the 16777216"},
    {"ArraySizeWraps",
     [] { return OneKey().KeyArray("k", ValueType::kU64, (uint64_t{1} << 61) + 1).Data(64); },
     "key 'k'", "elements is longer"},
    {"ArrayOfBytesBeyondTheFile",
     [] { return OneKey().KeyArray("k", ValueType::kU8, 1000).Data(64); }, "key 'k'",
     "1000 U8 does not fit"},
    {"ArrayOfNumbersBeyondTheFile",
     [] { return OneKey().KeyArray("k", ValueType::kF64, 900).Data(64); }, "key 'k'",
     "900 F64 does not fit"},
    {"ArrayOfStringsBeyondTheFile",
     [] { return OneKey().KeyArray("k", ValueType::kString, 100).Data(64); }, "key 'k'",
     "100 string does not fit"},
    {"ArraysStringBeyondTheFile_CVE_2025_49847",
     [] {
       return OneKey().KeyArray("k", ValueType::kString, 1).Put<uint64_t>(0x80000001).Data(64);
     },
     "key 'k'", "2147483649 bytes is longer"},
    {"ArraysSecondStringCutShort",
     [] {
       return OneKey().KeyArray("k", ValueType::kString, 2).String("a long one").Bytes("1234");
     },
     "key 'k'", "4 bytes too early"},
    {"MoreMemoryThanAllowed",
     [] {
       RawFile raw(0, 3);
       for (const char* key : {"a", "b", "c"}) {
         raw.KeyArray(key, ValueType::kU8, kMaxArrayElements)
             .Bytes(std::string(kMaxArrayElements, '0'));
       }
       return raw;
     },
     "key 'b'", "more than 256 MiB of memory"},
};

const std::vector<HostileFile> kAlignments = {
    {"Alignment0_CVE_2025_0315", [] { return Alignment(0); }, "key 'general.alignment'", "is 0"},
    {"Alignment1", [] { return Alignment(1); }, "key 'general.alignment'", "is 1"},
    {"Alignment4", [] { return Alignment(4); }, "key 'general.alignment'", "is 4"},
    {"Alignment48", [] { return Alignment(48); }, "key 'general.alignment'",
     "is 48; expected a power of two from 8 to 1048576"},
    {"AlignmentAboveTheCap", [] { return Alignment(2 << 20); }, "key 'general.alignment'",
     "is 2097152"},
    {"Alignment2To31_PR_24997", [] { return Alignment(0x80000000); }, "key 'general.alignment'",
     "is 2147483648"},
    {"AlignmentMax", [] { return Alignment(UINT32_MAX); }, "key 'general.alignment'",
     "is 4294967295"},
    {"AlignmentOfU64",
     [] { return OneKey().Key("general.alignment", ValueType::kU64).Put<uint64_t>(32); },
     "key 'general.alignment'", "type U64; expected U32"},
    {"AlignmentOfText", [] { return OneKey().KeyString("general.alignment", "32"); },
     "key 'general.alignment'", "type string; expected U32"},
    {"AlignmentArray",
     [] { return OneKey().KeyArray("general.alignment", ValueType::kU32, 1).Put<uint32_t>(32); },
     "key 'general.alignment'", "type array; expected U32"},
};

const std::vector<HostileFile> kTensors = {
    {"NoTensorName", [] { return OneTensor().Tensor("", {1}, DType::kF32, 0).Data(64); },
     "tensor number 0", "name is empty"},
    {"LongTensorName",
     [] { return OneTensor().Tensor(std::string(65, 'n'), {1}, DType::kF32, 0).Data(64); },
     "tensor number 0", "65 bytes is longer than the 64"},
    {"TensorNameLengthWraps", [] { return OneTensor().Put<uint64_t>(UINT64_MAX).Data(64); },
     "tensor number 0", "18446744073709551615 bytes is longer"},
    {"TensorNameIsNoUtf8",
     [] { return OneTensor().Tensor("\xe2\x82", {1}, DType::kF32, 0).Data(64); }, "tensor number 0",
     "\"\\xe2\\x82\" is not UTF-8"},
    {"NoDimensions", [] { return Shaped({}, DType::kF32); }, "tensor 't'", "0 dimensions"},
    {"FiveDimensions_TALOS_2024_1912",
     [] {
       return Shaped({1, 1, 1, 1, 1}, DType::kF32);
     },
     "tensor 't'", "5 dimensions; expected 1 to 4"},
    {"DimensionsMax", [] { return OneTensor().String("t").Put<uint32_t>(UINT32_MAX).Data(64); },
     "tensor 't'", "4294967295 dimensions"},
    {"Dimension0", [] { return Shaped({0}, DType::kF32); }, "tensor 't'", "dimension 0 is 0"},
    {"Dimension0Behind2To63",
     [] {
       return Shaped({k2To63, 0}, DType::kF32);
     },
     "tensor 't'", "dimension 1 is 0"},
    {"ElementsOverflow",
     [] {
       return Shaped({uint64_t{1} << 32, uint64_t{1} << 32}, DType::kF32);
     },
     "tensor 't'", "dimension 1 is 4294967296: the number of elements overflows"},
    {"ElementsWrapToFew_CVE_2026_33298",
     [] {
       return Shaped({uint64_t{1} << 32, uint64_t{1} << 31, 4, 8}, DType::kF32);
     },
     "tensor 't'", "dimension 2 is 4: the number of elements overflows"},
    {"BytesOverflow", [] { return Shaped({uint64_t{1} << 62}, DType::kF32); }, "tensor 't'",
     "the size of [4611686018427387904] F32 elements overflows"},
    {"RowOfHalfABlock", [] { return Shaped({33}, DType::kQ4_0); }, "tensor 't'",
     "rows of 33 elements are not whole Q4_0 blocks of 32"},
    {"RowsThatFillBlocksTogether",
     [] {
       return Shaped({128, 2}, DType::kQ4_K);
     },
     "tensor 't'", "rows of 128 elements are not whole Q4_K blocks of 256"},
    {"UnsupportedType", [] { return Shaped({256}, 9); }, "tensor 't'",
     "the type Q8_1 is not supported; supported are F32, F16, Q4_0"},
    {"InterleavedType", [] { return Shaped({256}, 31); }, "tensor 't'",
     "the type Q4_0_4_4 is Q4_0 with its rows interleaved for one kind of processor, which GGUF no "
     "longer has; take the model's Q4_0 file"},
    {"InterleavedType8x8", [] { return Shaped({256}, 33); }, "tensor 't'",
     "the type Q4_0_8_8 is Q4_0"},
    {"InterleavedIQ4NL", [] { return Shaped({256}, 36); }, "tensor 't'",
     "the type IQ4_NL_4_4 is IQ4_NL"},
    {"RemovedType", [] { return Shaped({32}, 4); }, "tensor 't'", "the type Q4_2 is not supported"},
    {"IntegerType", [] { return Shaped({32}, 24); }, "tensor 't'", "the type I8 is not supported"},
    {"UnknownType", [] { return Shaped({32}, 99); }, "tensor 't'",
     "the tensor type 99 does not exist"},
    {"TypeMax", [] { return Shaped({32}, UINT32_MAX); }, "tensor 't'",
     "the tensor type 4294967295 does not exist"},
    {"OffsetOffTheAlignment", [] { return At(4); }, "tensor 't'",
     "the offset 4 is no multiple of the alignment 32"},
    {"OffsetWraps", [] { return At(UINT64_MAX - 31); }, "tensor 't'", "reach past the file's end"},
    {"OffsetOf2To63", [] { return At(k2To63); }, "tensor 't'", "reach past the file's end"},
    {"BeyondTheFile_CVE_2026_7482", [] { return Shaped({1 << 20}, DType::kF32); }, "tensor 't'",
     "4194304 bytes at offset 0 of the data"},
    {"OneByteBeyondTheFile", [] { return OneTensor().Tensor("t", {8}, DType::kF32, 0).Data(31); },
     "tensor 't'", "reach past the file's end"},
    {"NoData", [] { return OneTensor().Tensor("t", {8}, DType::kF32, 0).Data(0); }, "tensor 't'",
     "reach past the file's end"},
    {"NoDataAndNoPadding", [] { return OneTensor().Tensor("t", {8}, DType::kF32, 0); },
     "tensor 't'", "reach past the file's end"},
    {"SizesAddUpToOverflow_CVE_2025_53630",
     [] {
       RawFile raw(3, 0);
       for (const char* name : {"a", "b", "c"}) {
         raw.Tensor(name, {uint64_t{1} << 61}, DType::kF32, 0);
       }
       return raw.Data(64);
     },
     "tensor 'a'", "reach past the file's end"},
    {"PaddingWraps_PR_26318",
     [] {
       RawFile raw(1, 1);
       raw.KeyU32("general.alignment", kMaxAlignment);
       return raw.Tensor("t", {8}, DType::kF32, UINT64_MAX - kMaxAlignment + 1).Data(64);
     },
     "tensor 't'", "reach past the file's end"},
    {"AlignmentPutsTheDataPastTheEnd",
     [] {
       RawFile raw(1, 1);
       raw.KeyU32("general.alignment", kMaxAlignment);
       return raw.Tensor("t", {8}, DType::kF32, 0).Data(4096);
     },
     "tensor 't'", "begins at byte 1048576"},
    {"SameBytes", [] { return TwoTensors("b", 8, 0); }, "tensor 'b'",
     "overlap those of tensor 'a'"},
    {"PartlySameBytes", [] { return TwoTensors("b", 9, 32); }, "tensor 'b'",
     "overlap those of tensor 'a'"},
    {"BytesInsideAnother", [] { return TwoTensors("b", 200, 320); }, "tensor 'b'",
     "overlap those of tensor 'a'"},
    {"TensorTwice", [] { return TwoTensors("a", 8, 32); }, "tensor 'a'", "there twice"},
    {"TensorTwiceWithTheSameBytes", [] { return TwoTensors("a", 8, 0); }, "tensor 'a'", "twice"},
    {"TensorWithEscapeSequence",
     [] { return OneTensor().Tensor("\x1b[31m\n", {0}, DType::kF32, 0).Data(64); },
     "tensor '\\x1b[31m\\n'", "dimension 0 is 0"},
    {"TableCutShort",
     [] {
       RawFile raw(1, 0);
       return raw.String("t").Put<uint32_t>(4).Put<uint64_t>(1).Put<uint64_t>(1).Bytes("12345678");
     },
     "tensor 't'", "too early"},
};

std::string CaseName(const testing::TestParamInfo<HostileFile>& info) {
  return std::string(info.param.name);
}

INSTANTIATE_TEST_SUITE_P(Headers, HostileGgufTest, testing::ValuesIn(kHeaders), CaseName);
INSTANTIATE_TEST_SUITE_P(Keys, HostileGgufTest, testing::ValuesIn(kKeys), CaseName);
INSTANTIATE_TEST_SUITE_P(Values, HostileGgufTest, testing::ValuesIn(kValues), CaseName);
INSTANTIATE_TEST_SUITE_P(Alignments, HostileGgufTest, testing::ValuesIn(kAlignments), CaseName);
INSTANTIATE_TEST_SUITE_P(Tensors, HostileGgufTest, testing::ValuesIn(kTensors), CaseName);

}  // namespace
}  // namespace plimsoll::formats::gguf
