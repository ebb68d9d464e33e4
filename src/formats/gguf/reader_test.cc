#include "formats/gguf/reader.h"

#include <cstdlib>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/gguf/raw_file.h"
#include "formats/gguf/writer.h"

namespace plimsoll::formats::gguf {
namespace {

using tensor::DType;
using tensor::MakeShape;
using testing::ElementsAre;

std::filesystem::path Shared() {
  const char* folder = std::getenv("PLIMSOLL_SHARED");
  return folder != nullptr ? folder : PLIMSOLL_SOURCE_DIR "/../shared";
}

Value IntegerArray(ValueType type, std::vector<int64_t> values) {
  return {ValueType::kArray, Array{type, std::move(values)}};
}

// One key of every type, scalar and array.
Metadata EveryType() {
  Metadata m;
  m.SetString("general.architecture", "llama");
  m.Set("u8", {ValueType::kU8, int64_t{255}});
  m.Set("i8", {ValueType::kI8, int64_t{-128}});
  m.Set("u16", {ValueType::kU16, int64_t{65535}});
  m.Set("i16", {ValueType::kI16, int64_t{-32768}});
  m.Set("u32", {ValueType::kU32, int64_t{4294967295}});
  m.Set("i32", {ValueType::kI32, int64_t{INT32_MIN}});
  m.Set("u64", {ValueType::kU64, uint64_t{UINT64_MAX}});
  m.Set("i64", {ValueType::kI64, int64_t{INT64_MIN}});
  m.Set("f32", {ValueType::kF32, 0.1F});
  m.Set("f64", {ValueType::kF64, 0.1});
  m.SetBool("yes", true);
  m.SetBool("no", false);
  m.Set("a8", IntegerArray(ValueType::kU8, {0, 255}));
  m.Set("ai", IntegerArray(ValueType::kI32, {-1, 0, 1}));
  m.Set("au", {ValueType::kArray, Array{ValueType::kU64, std::vector<uint64_t>{UINT64_MAX}}});
  m.Set("af", {ValueType::kArray, Array{ValueType::kF32, std::vector<double>{0.5, -2.0}}});
  m.Set("ab", {ValueType::kArray, Array{ValueType::kBool, std::vector<bool>{true, false, true}}});
  m.SetStrings("as", {"", "Ġthe", std::string("\0\xff", 2)});
  m.Set("empty", IntegerArray(ValueType::kI16, {}));
  return m;
}

void ExpectEqual(const Metadata& a, const Metadata& b) {
  ASSERT_EQ(a.keys(), b.keys());
  for (const std::string& key : a.keys()) {
    const Value& x = *a.Find(key);
    const Value& y = *b.Find(key);
    EXPECT_EQ(x.type, y.type) << key;
    ASSERT_EQ(x.value.index(), y.value.index()) << key;
    if (const auto* array = std::get_if<Array>(&x.value)) {
      EXPECT_EQ(array->element_type, std::get<Array>(y.value).element_type) << key;
      EXPECT_EQ(array->values, std::get<Array>(y.value).values) << key;
    } else {
      const bool same = std::visit(
          [&](const auto& held) {
            using Held = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<Held, Array>) {
              return false;
            } else {
              return held == std::get<Held>(y.value);
            }
          },
          x.value);
      EXPECT_TRUE(same) << key;
    }
  }
}

class TempFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::path(testing::TempDir()) / ("plimsoll_gguf_" + std::to_string(::getpid()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

using GgufRoundTripTest = TempFolder;

std::string Pattern(uint64_t bytes, int seed) {
  std::string text(bytes, '\0');
  for (uint64_t i = 0; i < bytes; ++i) {
    text[i] = static_cast<char>(static_cast<uint64_t>(seed) * 31 + i * 7);
  }
  return text;
}

TEST_F(GgufRoundTripTest, WhatTheWriterWritesTheReaderReads) {
  const std::vector<TensorDeclaration> tensors = {
      {"token_embd.weight", DType::kF16, MakeShape(32, 5)},
      {"blk.0.ffn_up_exps.weight", DType::kQ4_0, MakeShape(32, 3, 4)},
      {"output_norm.weight", DType::kF32, MakeShape(3)},
      {"output.weight", DType::kQ6_K, MakeShape(256, 1)}};
  for (const uint32_t alignment : {0U, 8U, 64U, 4096U}) {
    Metadata metadata = EveryType();
    if (alignment != 0) {
      metadata.SetU32("general.alignment", alignment);
    }
    const auto path = folder_ / "model.gguf";
    auto writer = Writer::Create(path, metadata, tensors);
    ASSERT_TRUE(writer) << writer.error().message;
    std::vector<std::string> data;
    for (const auto& tensor : tensors) {
      data.push_back(
          Pattern(*tensor::BytesFor(tensor.dtype, tensor.shape.Elements()), int(data.size())));
      const auto bytes = std::as_bytes(std::span(data.back()));
      ASSERT_TRUE(writer->Append(bytes.first(1)));  // in two pieces
      ASSERT_TRUE(writer->Append(bytes.subspan(1)));
    }
    ASSERT_TRUE(writer->Finish());

    const auto catalogue = Open(path);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    ExpectEqual(catalogue->metadata, metadata);
    ASSERT_EQ(catalogue->tensors().size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const TensorEntry& entry = catalogue->tensors()[i];
      EXPECT_EQ(entry.name, tensors[i].name);
      EXPECT_EQ(entry.dtype, tensors[i].dtype);
      EXPECT_EQ(entry.shape, tensors[i].shape);
      EXPECT_EQ(entry.shape.n_dims, tensors[i].shape.n_dims);
      EXPECT_EQ(entry.bytes, data[i].size());
      ASSERT_EQ(entry.ranges.size(), 1U);
      EXPECT_EQ(entry.ranges[0].offset % (alignment == 0 ? 32 : alignment), 0U);
      std::string read(entry.bytes, '\0');
      ASSERT_TRUE(catalogue->files[0]->ReadAt(entry.ranges[0].offset,
                                              std::as_writable_bytes(std::span(read))));
      EXPECT_EQ(read, data[i]);
    }
  }
}

TEST_F(GgufRoundTripTest, AWriterThatDoesNotFinishLeavesNothing) {
  const std::vector<TensorDeclaration> tensors = {{"a", DType::kF32, MakeShape(2)},
                                                  {"b", DType::kF32, MakeShape(2)}};
  const std::vector<std::byte> eight(8);
  const std::vector<std::byte> nine(9);
  {
    auto writer = Writer::Create(folder_ / "x.gguf", {}, tensors);
    ASSERT_TRUE(writer);
    EXPECT_FALSE(writer->Append(nine));
    ASSERT_TRUE(writer->Append(eight));
    const auto finished = writer->Finish();
    ASSERT_FALSE(finished);
    EXPECT_THAT(finished.error().message, testing::HasSubstr("'b' has 0 of its 8 bytes"));
    ASSERT_TRUE(writer->Append(eight));
    EXPECT_FALSE(writer->Append(eight));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST(GgufWriterTest, RefusesWhatNoReaderAccepts) {
  const auto refused = [](Metadata metadata, std::vector<TensorDeclaration> tensors) {
    return !EncodeHeader(metadata, tensors);
  };
  EXPECT_FALSE(refused({}, {{"a", DType::kF32, MakeShape(1)}}));
  EXPECT_TRUE(refused({}, {{"a", DType::kF32, MakeShape(1)}, {"a", DType::kF32, MakeShape(1)}}));
  EXPECT_TRUE(refused({}, {{"", DType::kF32, MakeShape(1)}}));
  EXPECT_TRUE(refused({}, {{std::string(65, 'n'), DType::kF32, MakeShape(1)}}));
  EXPECT_TRUE(refused({}, {{"a", DType::kQ4_0, MakeShape(31)}}));
  EXPECT_TRUE(refused({}, {{"a", DType::kF32, MakeShape(0)}}));
  EXPECT_TRUE(refused({}, {{"a", DType::kF32, MakeShape(UINT64_MAX)}}));
  EXPECT_TRUE(refused({}, {{"a", DType::kF32, MakeShape(uint64_t{1} << 32, uint64_t{1} << 32)}}));
  Metadata alignment;
  alignment.SetU32("general.alignment", 48);
  EXPECT_TRUE(refused(alignment, {}));
  Metadata wide;
  wide.Set("k", {ValueType::kU8, int64_t{256}});
  EXPECT_TRUE(refused(wide, {}));
}

TEST(GgufReaderTest, VersionsTwoAndThreeReadAlike) {
  for (const uint32_t version : {2U, 3U}) {
    RawFile raw;
    raw.Bytes("GGUF").Put(version).Put<uint64_t>(1).Put<uint64_t>(1);
    raw.KeyString("general.architecture", "llama").Tensor("t", {4, 2}, DType::kF32, 0).Data(32);
    const auto catalogue = raw.Read();
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    EXPECT_EQ(*catalogue->metadata.String("general.architecture"), "llama");
    EXPECT_EQ(catalogue->Find("t")->shape, MakeShape(4, 2));
    EXPECT_EQ(catalogue->Find("t")->ranges[0].offset, raw.size() - 32);
  }
}

TEST(GgufReaderTest, TheLastTensorNeedsNoPadding) {
  RawFile raw(2, 0);
  raw.Tensor("a", {1}, DType::kF32, 0).Tensor("b", {1}, DType::kF32, 32).Data(36);
  EXPECT_TRUE(raw.Read()) << raw.Read().error().message;
}

TEST(GgufReaderTest, AnEmptyVocabularyFileLoads) {
  const auto catalogue = RawFile(0, 0).Read();
  ASSERT_TRUE(catalogue);
  EXPECT_TRUE(catalogue->tensors().empty());
}

TEST(GgufReaderTest, AModelInsideAnotherFileIsAWindow) {
  RawFile raw(1, 0);
  raw.Tensor("t", {8}, DType::kF32, 0).Data(32);
  const auto path =
      std::filesystem::path(testing::TempDir()) / ("plimsoll_window_" + std::to_string(::getpid()));
  {
    auto file = io::AtomicFile::Create(path);
    const std::string around = "before " + raw.bytes() + " after";
    ASSERT_TRUE(file->Append(std::as_bytes(std::span(around))));
    ASSERT_TRUE(file->Commit());
  }
  const auto window = io::File::OpenWindow(path, 7, raw.size());
  std::filesystem::remove(path);
  ASSERT_TRUE(window);
  const auto catalogue = Read(*window);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_EQ(catalogue->Find("t")->ranges[0].offset, raw.size() - 32);
}

TEST(GgufSharedTest, VocabulariesLoad) {
  const auto folder = Shared() / "data" / "vocab";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there";
  }
  const std::map<std::string, size_t> expected = {{"deepseek-llm.gguf", 102400},
                                                  {"falcon.gguf", 65024},
                                                  {"gpt-2.gguf", 50257},
                                                  {"llama-spm.gguf", 32000}};
  for (const auto& [name, n_tokens] : expected) {
    const auto catalogue = Open(folder / name);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    const auto tokens = catalogue->metadata.Strings("tokenizer.ggml.tokens");
    ASSERT_TRUE(tokens) << tokens.error().message;
    ASSERT_NE(*tokens, nullptr);
    EXPECT_EQ((*tokens)->size(), n_tokens) << name;
    EXPECT_TRUE(catalogue->tensors().empty());
  }
}

TEST(GgufSharedTest, LabModelsLoad) {
  const auto folder = Shared() / "models";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there";
  }
  const std::map<std::string, DType> expected = {{"lab-moe-f32.gguf", DType::kF32},
                                                 {"lab-moe-f16.gguf", DType::kF16},
                                                 {"lab-moe-q8_0.gguf", DType::kQ8_0},
                                                 {"lab-moe-q4_0.gguf", DType::kQ4_0}};
  for (const auto& [name, dtype] : expected) {
    const auto catalogue = Open(folder / name);
    ASSERT_TRUE(catalogue) << catalogue.error().message;
    EXPECT_EQ(*catalogue->metadata.String("general.architecture"), "qwen3moe");
    EXPECT_EQ(*catalogue->metadata.U32("qwen3moe.block_count"), 8U);
    const TensorEntry* experts = catalogue->Find("blk.7.ffn_down_exps.weight");
    ASSERT_NE(experts, nullptr);
    EXPECT_EQ(experts->dtype, dtype);
    EXPECT_EQ(experts->shape, MakeShape(32, 128, 64));
    const TensorEntry& last = catalogue->tensors().back();
    EXPECT_LE(last.ranges[0].offset + last.bytes, catalogue->files[0]->size());
  }
}

}  // namespace
}  // namespace plimsoll::formats::gguf
