// Files that are damaged systematically: every number set to every extreme, every cut, every
// flipped bit. Each ends in an error that names a byte of the file, or in a catalogue that is
// sound.
#include <algorithm>
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/resource_test_tools.h"
#include "base/sanitized.h"
#include "base/thread_time.h"
#include "formats/gguf/limits.h"
#include "formats/gguf/raw_file.h"

namespace plimsoll::formats::gguf {
namespace {

using tensor::DType;

// Three models that differ in what they hold: a vocabulary, a dense model, one with experts.
RawFile VocabularyModel() {
  RawFile raw(0, 7);
  raw.KeyString("general.architecture", "llama").KeyString("tokenizer.ggml.model", "gpt2");
  raw.KeyArray("tokenizer.ggml.tokens", ValueType::kString, 3).String("a").String("").String("Ġb");
  raw.KeyArray("tokenizer.ggml.scores", ValueType::kF32, 2).Put(0.5F).Put(-1.F);
  raw.KeyArray("types", ValueType::kI32, 2).Put<int32_t>(1).Put<int32_t>(3);
  raw.Key("tokenizer.ggml.add_bos_token", ValueType::kBool).Put<uint8_t>(1);
  raw.Key("f64", ValueType::kF64).Put(0.5);
  return raw;
}

RawFile DenseModel() {
  RawFile raw(3, 4);
  raw.KeyString("general.architecture", "qwen2").KeyU32("general.alignment", 64);
  raw.Key("qwen2.block_count", ValueType::kU64).Put<uint64_t>(1);
  raw.Key("small", ValueType::kI8).Put<int8_t>(-1);
  raw.Tensor("token_embd.weight", {32, 4}, DType::kQ8_0, 0);
  raw.Tensor("blk.0.attn_q.weight", {32, 2}, DType::kF16, 192);
  raw.Tensor("output_norm.weight", {32}, DType::kF32, 320).Data(448, 64);
  return raw;
}

RawFile ExpertModel() {
  RawFile raw(2, 3);
  raw.KeyString("general.architecture", "qwen3moe");
  raw.Key("split.count", ValueType::kU16).Put<uint16_t>(1);
  raw.KeyArray("qwen3moe.attention.head_count_kv", ValueType::kU32, 2);
  raw.Put<uint32_t>(1).Put<uint32_t>(1);
  raw.Tensor("blk.0.ffn_up_exps.weight", {256, 2, 2, 1}, DType::kQ4_K, 0);
  raw.Tensor("blk.0.ffn_gate_inp.weight", {3, 2}, DType::kF32, 576).Data(600);
  return raw;
}

std::vector<RawFile> Models() { return {VocabularyModel(), DenseModel(), ExpertModel()}; }

// Every range inside the file, as large as its tensor, and none of two tensors the same.
void ExpectSound(const Catalogue& catalogue, uint64_t file_bytes) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const TensorEntry& tensor : catalogue.tensors()) {
    ASSERT_EQ(tensor.ranges.size(), 1U);
    const FileRange& range = tensor.ranges[0];
    ASSERT_EQ(tensor.bytes, tensor::BytesFor(tensor.dtype, tensor.shape.Elements()));
    ASSERT_EQ(range.bytes, tensor.bytes);
    ASSERT_LE(range.offset, file_bytes);
    ASSERT_LE(range.bytes, file_bytes - range.offset);
    ranges.emplace_back(range.offset, range.offset + range.bytes);
  }
  std::ranges::sort(ranges);
  for (size_t i = 1; i < ranges.size(); ++i) {
    ASSERT_LE(ranges[i - 1].second, ranges[i].first);
  }
}

void ExpectTyped(const Error& error, uint64_t file_bytes) {
  EXPECT_EQ(error.kind, ErrorKind::kBadModel) << error.message;
  const size_t at = error.message.rfind("(at byte ");
  if (at == std::string::npos) {  // what two parts of a split say to each other has no one byte
    EXPECT_THAT(error.message, testing::HasSubstr("key 'split."));
    return;
  }
  EXPECT_LE(std::stoull(error.message.substr(at + 9)), file_bytes) << error.message;
}

// True when the damaged file still loads.
bool Check(const std::string& bytes) {
  const double begin = ThreadSeconds();
  const auto file = io::File::FromBytes("damaged", std::as_bytes(std::span(bytes))).value();
  const auto catalogue = Read(file);
  if (catalogue) {
    ExpectSound(*catalogue, bytes.size());
  } else {
    ExpectTyped(catalogue.error(), bytes.size());
  }
  EXPECT_LT(ThreadSeconds() - begin, kSanitized ? 1 : 0.25);  // typically 20 µs
  return catalogue.has_value();
}

TEST(GgufSweepTest, EveryNumberAtEveryExtreme) {
  std::vector<uint64_t> values = {0,
                                  1,
                                  (uint64_t{1} << 31) - 1,
                                  uint64_t{1} << 31,
                                  uint64_t{1} << 32,
                                  (uint64_t{1} << 63) - 1,
                                  uint64_t{1} << 63,
                                  UINT64_MAX};
  for (const uint64_t cap :
       {kMaxKeys, kMaxTensors, kMaxArrayElements, kMaxKeyBytes, kMaxTensorNameBytes,
        kMaxStringBytes, uint64_t{kMaxAlignment}, uint64_t{4}, uint64_t{12}}) {
    values.insert(values.end(), {cap - 1, cap, cap + 1});
  }
  const bool peak_is_known = ResetPeak() && !kSanitized;
  const int64_t peak_before = PeakKiB();
  int n_files = 0;
  int n_loaded = 0;
  for (const RawFile& model : Models()) {
    for (const RawFile::Field& field : model.fields()) {
      for (const uint64_t value : values) {
        std::string bytes = model.bytes();
        std::memcpy(bytes.data() + field.offset, &value, field.bytes);
        n_loaded += Check(bytes) ? 1 : 0;
        ++n_files;
        if (HasFatalFailure()) {
          FAIL() << "byte " << field.offset << " set to " << value;
        }
      }
    }
  }
  EXPECT_GE(n_files, 1500);
  EXPECT_GT(n_loaded, 0);
  EXPECT_LT(n_loaded, n_files / 2);
  if (peak_is_known) {
    EXPECT_LE(PeakKiB() - peak_before, 32 * 1024);
  }
}

TEST(GgufSweepTest, EveryCut) {
  for (const RawFile& model : Models()) {
    const auto whole = model.Read();
    ASSERT_TRUE(whole) << whole.error().message;
    uint64_t needed = model.size();
    if (!whole->tensors().empty()) {
      const FileRange& last = whole->tensors().back().ranges[0];
      needed = last.offset + last.bytes;
    }
    for (uint64_t cut = 0; cut <= model.size(); ++cut) {
      EXPECT_EQ(Check(model.bytes().substr(0, cut)), cut >= needed) << "cut to " << cut;
    }
  }
}

TEST(GgufSweepTest, EveryFlippedBit) {
  for (const RawFile& model : Models()) {
    std::string bytes = model.bytes();
    const uint64_t header_bytes = model.fields().back().offset + model.fields().back().bytes;
    for (uint64_t bit = 0; bit < 8 * header_bytes; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
      Check(bytes);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    }
  }
}

TEST(GgufSweepTest, LimitsAreReachedAndNotPassed) {
  const auto keys = [](uint64_t n) {
    RawFile raw(0, n);
    for (uint64_t i = 0; i < n; ++i) {
      raw.Key(std::to_string(i), ValueType::kU8).Put<uint8_t>(1);
    }
    return raw.Read();
  };
  EXPECT_TRUE(keys(kMaxKeys));
  EXPECT_FALSE(keys(kMaxKeys + 1));
  const auto key = [](uint64_t n) { return RawFile(0, 1).KeyU32(std::string(n, 'k'), 1).Read(); };
  EXPECT_TRUE(key(kMaxKeyBytes));
  EXPECT_FALSE(key(kMaxKeyBytes + 1));
  const auto text = [](uint64_t n) {
    return RawFile(0, 1).KeyString("k", std::string(n, 't')).Read();
  };
  EXPECT_TRUE(text(kMaxStringBytes));
  EXPECT_FALSE(text(kMaxStringBytes + 1));
  const auto array = [](uint64_t n) {
    return RawFile(0, 1).KeyArray("k", ValueType::kU8, n).Bytes(std::string(n, 'e')).Read();
  };
  EXPECT_TRUE(array(kMaxArrayElements));
  EXPECT_FALSE(array(kMaxArrayElements + 1));
  const auto name = [](uint64_t n) {
    return RawFile(1, 0).Tensor(std::string(n, 'n'), {1}, DType::kF32, 0).Data(4).Read();
  };
  EXPECT_TRUE(name(kMaxTensorNameBytes));
  EXPECT_FALSE(name(kMaxTensorNameBytes + 1));
  for (uint32_t alignment = kMinAlignment; alignment <= kMaxAlignment; alignment *= 2) {
    RawFile raw(1, 1);
    raw.KeyU32("general.alignment", alignment).Tensor("t", {1}, DType::kF32, 0);
    EXPECT_TRUE(raw.Data(4, alignment).Read()) << alignment;
  }
  for (const std::vector<uint64_t>& dims :
       {std::vector<uint64_t>{1}, {1, 1}, {1, 1, 1}, {1, 1, 1, 1}}) {
    RawFile raw(1, 0);
    raw.String("t").Put(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) {
      raw.Put(dim);
    }
    EXPECT_TRUE(raw.Put<uint32_t>(0).Put<uint64_t>(0).Data(4).Read());
  }
}

TEST(GgufSweepTest, ManyTensors) {
  const auto tensors = [](uint64_t n) {
    RawFile raw(n, 0);
    for (uint64_t i = 0; i < n; ++i) {
      raw.Tensor(std::to_string(i), {1}, DType::kF32, i * 32);
    }
    return raw.Data(n * 32).Read();
  };
  const auto catalogue = tensors(kMaxTensors);
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  EXPECT_EQ(catalogue->tensors().size(), kMaxTensors);
  EXPECT_FALSE(tensors(kMaxTensors + 1));
}

}  // namespace
}  // namespace plimsoll::formats::gguf
