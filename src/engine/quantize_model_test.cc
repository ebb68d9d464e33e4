#include "engine/quantize_model.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "formats/gguf/writer.h"
#include "kernels/half.h"

namespace plimsoll::engine {
namespace {

namespace fs = std::filesystem;
using formats::gguf::TensorDeclaration;
using tensor::DType;
using tensor::MakeShape;
using testing::HasSubstr;

class QuantizeModelTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  // Values in F32 that no two tensors share.
  static std::vector<std::byte> Values(const TensorDeclaration& tensor, float seed) {
    std::vector<std::byte> bytes;
    for (uint64_t i = 0; i < tensor.shape.Elements(); ++i) {
      const float value = std::sin(seed + static_cast<float>(i) * 0.7F);
      const uint16_t half = kernels::FloatToF16(value);
      const auto raw = tensor.dtype == DType::kF32 ? std::as_bytes(std::span(&value, 1))
                                                   : std::as_bytes(std::span(&half, 1));
      bytes.insert(bytes.end(), raw.begin(), raw.end());
    }
    return bytes;
  }

  void Write(const std::vector<TensorDeclaration>& tensors, bool is_split = false) const {
    formats::Metadata metadata;
    metadata.SetString("general.architecture", "llama");
    metadata.SetStrings("tokenizer.ggml.tokens", {"a", "b"});
    if (is_split) {
      metadata.SetU32("split.no", 0);
      metadata.SetU32("split.count", 1);
      metadata.SetU32("split.tensors.count", 1);
    }
    auto writer = formats::gguf::Writer::Create(model_, metadata, tensors).value();
    float seed = 0;
    for (const auto& tensor : tensors) {
      ASSERT_TRUE(writer.Append(Values(tensor, ++seed)));
    }
    ASSERT_TRUE(writer.Finish());
  }

  struct Sums {
    std::string name;  // of a matrix
    tensor::Shape shape;
    float value = 1;  // of the first, the others are 1
  };
  void WriteImportance(const std::vector<Sums>& all) const {
    std::vector<TensorDeclaration> tensors;
    for (const Sums& sums : all) {
      tensors.push_back({sums.name + ".in_sum2", DType::kF32, sums.shape});
      tensors.push_back({sums.name + ".counts", DType::kF32,
                         MakeShape(1, sums.shape.Elements() / sums.shape.dims[0])});
    }
    auto writer = formats::gguf::Writer::Create(imatrix_, {}, tensors).value();
    for (const Sums& sums : all) {
      std::vector<float> values(sums.shape.Elements(), 1);
      values.front() = sums.value;
      ASSERT_TRUE(writer.Append(std::as_bytes(std::span(values))));
      values.assign(sums.shape.Elements() / sums.shape.dims[0], 1);
      ASSERT_TRUE(writer.Append(std::as_bytes(std::span(values))));
    }
    ASSERT_TRUE(writer.Finish());
  }

  // What models have: matrices of each kind, what steers, and rows that few types fit.
  void WriteModel() const {
    Write({{"token_embd.weight", DType::kF16, MakeShape(256, 300)},
           {"blk.0.attn_norm.weight", DType::kF32, MakeShape(256)},
           {"blk.0.attn_q.weight", DType::kF16, MakeShape(256, 64)},
           {"blk.0.attn_q.bias", DType::kF32, MakeShape(64)},
           {"blk.0.ffn_gate_inp.weight", DType::kF32, MakeShape(256, 4)},
           {"blk.0.ffn_up_exps.weight", DType::kF32, MakeShape(256, 96, 4)},
           {"blk.0.ffn_down_exps.weight", DType::kF16, MakeShape(96, 256, 4)},
           {"blk.0.odd.weight", DType::kF32, MakeShape(40, 3)},
           {"output.weight", DType::kF16, MakeShape(256, 300)}});
  }

  [[nodiscard]] QuantizeModelOptions Options(DType dtype) const {
    return {.model = model_, .output = output_, .plan = {.mix = PureMix(dtype)}, .n_threads = 2};
  }
  [[nodiscard]] std::string Refusal(const QuantizeModelOptions& options,
                                    ErrorKind kind = ErrorKind::kUsage) const {
    const auto outcome = QuantizeModel(options);
    EXPECT_FALSE(outcome);
    EXPECT_EQ(outcome.error().kind, kind);
    return outcome.error().message;
  }
  static std::string Bytes(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Nothing is left beside the model.
  [[nodiscard]] size_t n_files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_quantize_" + std::to_string(::getpid()));
  fs::path model_ = folder_ / "model.gguf";
  fs::path output_ = folder_ / "small.gguf";
  fs::path imatrix_ = folder_ / "imatrix.gguf";
};

TEST_F(QuantizeModelTest, GivesEachTensorTheTypeThatSuitsIt) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ4_K);
  options.plan.mix = *FindMix("Q4_K_S");
  const auto made = QuantizeModel(options);
  ASSERT_TRUE(made) << made.error().message;
  std::vector<DType> types;
  for (const QuantizedTensor& tensor : made->tensors) {
    types.push_back(tensor.to);
    EXPECT_EQ(tensor.error > 0, tensor.to != tensor.from) << tensor.name;
    EXPECT_LT(tensor.error, 0.12) << tensor.name;
  }
  EXPECT_THAT(
      types, testing::ElementsAre(DType::kQ4_K, DType::kF32, DType::kQ4_K, DType::kF32, DType::kF32,
                                  DType::kQ4_K, DType::kQ5_0, DType::kF16, DType::kQ6_K));
  const auto written = formats::OpenModel(output_);
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_EQ(written->tensors().size(), types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ(written->tensors()[i].dtype, types[i]);
    EXPECT_EQ(written->tensors()[i].bytes, made->tensors[i].bytes);
  }
  EXPECT_EQ(written->TotalBytes(), made->bytes);
  EXPECT_EQ(written->metadata.U32("general.file_type"), 14U);
  EXPECT_EQ(written->metadata.U32("general.quantization_version"), 2U);
  EXPECT_EQ((*written->metadata.Strings("tokenizer.ggml.tokens"))->size(), 2U);
}

TEST_F(QuantizeModelTest, TypesOfFewBitsWantAnImportanceMatrix) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kIQ2_XXS);
  EXPECT_THAT(Refusal(options), HasSubstr("'token_embd.weight' would be IQ2_XXS"));
  options.plan.without_importance = true;
  ASSERT_TRUE(QuantizeModel(options));
  EXPECT_EQ(formats::OpenModel(output_)->metadata.U32("general.file_type"), 19U);
}

// Before anything is written, whichever tensor it is of.
TEST_F(QuantizeModelTest, AnImportanceMatrixThatCannotBeIsRefusedByName) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ4_0);
  options.imatrix = imatrix_;
  const auto refusal = [&](const std::vector<Sums>& sums) {
    WriteImportance(sums);
    return Refusal(options, ErrorKind::kBadModel);
  };
  const Sums fine = {"blk.0.attn_q.weight", MakeShape(256, 1)};
  EXPECT_THAT(refusal({fine, {"output.weight", MakeShape(128, 1)}}),
              HasSubstr("'output.weight.in_sum2' has 128 x 1 numbers, not 256 x 1"));
  EXPECT_THAT(refusal({fine, {"blk.0.ffn_up_exps.weight", MakeShape(256, 3)}}),
              HasSubstr("'blk.0.ffn_up_exps.weight.in_sum2' has 256 x 3 numbers, not 256 x 4"));
  EXPECT_THAT(refusal({fine, {"output.weight", MakeShape(256, 1), std::nanf("")}}),
              HasSubstr("'output.weight.in_sum2' has nan at place 0"));
  EXPECT_THAT(refusal({{"blk.7.attn_q.weight", MakeShape(256, 1)}}), HasSubstr("of another model"));
  WriteImportance({fine});
  fs::resize_file(imatrix_, fs::file_size(imatrix_) - 700);
  EXPECT_THAT(Refusal(options, ErrorKind::kBadModel), HasSubstr("blk.0.attn_q.weight.in_sum2"));
  options.imatrix = folder_ / "nowhere.gguf";
  EXPECT_THAT(Refusal(options, ErrorKind::kIo), HasSubstr("nowhere.gguf"));
  EXPECT_EQ(n_files(), 2U);
  options.imatrix = imatrix_;
  WriteImportance({fine, {"output.weight", MakeShape(256, 1), std::numeric_limits<float>::max()}});
  EXPECT_TRUE(QuantizeModel(options));
}

TEST_F(QuantizeModelTest, WhatConvolvesStaysAsItIs) {
  Write({{"blk.0.ssm_conv1d.weight", DType::kF32, MakeShape(4, 64)},
         {"per_layer_model_proj.weight", DType::kF32, MakeShape(64, 64)},
         {"blk.0.ssm_out.weight", DType::kF32, MakeShape(64, 64)}});
  const auto made = QuantizeModel(Options(DType::kQ8_0));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->tensors[0].to, DType::kF32);
  EXPECT_EQ(made->tensors[1].to, DType::kF32);
  EXPECT_EQ(made->tensors[2].to, DType::kQ8_0);
}

TEST_F(QuantizeModelTest, TheFileIsTheSameWhateverTheThreads) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ4_0);
  ASSERT_TRUE(QuantizeModel(options));
  const std::string bytes = Bytes(output_);
  options.n_threads = 5;
  options.replaces = true;
  ASSERT_TRUE(QuantizeModel(options));
  EXPECT_EQ(Bytes(output_), bytes);
}

// Several pieces, the last of them shorter.
TEST_F(QuantizeModelTest, ATensorThatIsLargerThanAPieceIsWhole) {
  Write({{"blk.0.attn_q.weight", DType::kF32, MakeShape(4096, 600)}});
  ASSERT_TRUE(QuantizeModel(Options(DType::kF32)));
  EXPECT_EQ(Bytes(output_).substr(Bytes(output_).size() - 4096 * 600 * 4),
            Bytes(model_).substr(Bytes(model_).size() - 4096 * 600 * 4));
  QuantizeModelOptions options = Options(DType::kQ8_0);
  options.replaces = true;
  const auto made = QuantizeModel(options);
  ASSERT_TRUE(made);
  EXPECT_LT(made->tensors[0].error, 0.006);
  EXPECT_GT(made->tensors[0].error, 0.002);
}

TEST_F(QuantizeModelTest, TheFirstOverrideThatFitsDecides) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ4_K);
  options.plan.overrides = {{"output.weight", DType::kQ8_0},
                            {"blk.*.ffn_*_exps.weight", DType::kBF16},
                            {"blk.0.ffn_up_exps.weight", DType::kQ4_0}};
  const auto made = QuantizeModel(options);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->tensors[8].to, DType::kQ8_0);
  EXPECT_EQ(made->tensors[5].to, DType::kBF16);
  EXPECT_EQ(made->tensors[6].to, DType::kBF16);
}

TEST_F(QuantizeModelTest, WhatCannotBeIsRefusedByName) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ4_0);
  options.plan.overrides = {{"blk.1.*", DType::kQ8_0}};
  EXPECT_THAT(Refusal(options), HasSubstr("no tensor like 'blk.1.*'"));
  options.plan.overrides = {{"*.odd.weight", DType::kQ8_0}};
  EXPECT_THAT(Refusal(options), HasSubstr("rows of 'blk.0.odd.weight' have 40 values"));
  options = Options(DType::kQ4_0);
  options.output = model_;
  EXPECT_THAT(Refusal(options), HasSubstr("is the model itself"));
  options.output = folder_ / "nowhere" / "x.gguf";
  EXPECT_THAT(Refusal(options, ErrorKind::kIo), HasSubstr("nowhere"));
  std::ofstream(output_) << "mine";
  EXPECT_THAT(Refusal(Options(DType::kQ4_0)), HasSubstr("is there already"));
  EXPECT_EQ(Bytes(output_), "mine");
  EXPECT_EQ(n_files(), 2U);
}

TEST_F(QuantizeModelTest, WhatIsQuantizedAlreadyIsNotWithoutASay) {
  WriteModel();
  ASSERT_TRUE(QuantizeModel(Options(DType::kQ8_0)));
  QuantizeModelOptions again = Options(DType::kQ4_0);
  again.model = output_;
  again.output = folder_ / "smaller.gguf";
  EXPECT_THAT(Refusal(again), HasSubstr("'token_embd.weight' is Q8_0 already"));
  again.plan.requantizes = true;
  ASSERT_TRUE(QuantizeModel(again));
  // Nothing to lose where nothing changes.
  again.plan = {.mix = PureMix(DType::kQ8_0)};
  again.replaces = true;
  const auto same = QuantizeModel(again);
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ(Bytes(again.output), Bytes(output_));
}

TEST_F(QuantizeModelTest, AValueThatIsNoNumberIsNamed) {
  WriteModel();
  std::string bytes = Bytes(model_);
  const uint16_t infinity = 0x7C00;
  std::memcpy(bytes.data() + bytes.size() - 2 * 256 * 300 + 2 * (256 * 7 + 5), &infinity, 2);
  std::ofstream(model_, std::ios::binary) << bytes;
  EXPECT_THAT(Refusal(Options(DType::kQ8_0), ErrorKind::kBadModel),
              HasSubstr("the tensor 'output.weight', row 7: value 5 is inf"));
  EXPECT_EQ(n_files(), 1U);
}

TEST_F(QuantizeModelTest, WhenItIsStoppedNothingIsLeft) {
  WriteModel();
  QuantizeModelOptions options = Options(DType::kQ8_0);
  uint64_t done = 0;
  options.on_progress = [&](uint64_t bytes, uint64_t total) {
    EXPECT_GT(bytes, done);
    EXPECT_LE(bytes, total);
    done = bytes;
  };
  options.is_stopped = [&] { return done > 100'000; };
  EXPECT_THAT(Refusal(options, ErrorKind::kInterrupted), HasSubstr("stopped"));
  EXPECT_EQ(n_files(), 1U);
}

TEST_F(QuantizeModelTest, PartsOfASplitBecomeOneFile) {
  Write({{"blk.0.attn_q.weight", DType::kF32, MakeShape(64, 8)}}, true);
  const auto made = QuantizeModel(Options(DType::kQ8_0));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_FALSE(formats::OpenModel(output_)->metadata.Has("split.count"));
  EXPECT_FALSE(formats::OpenModel(output_)->metadata.Has("split.tensors.count"));
}

}  // namespace
}  // namespace plimsoll::engine
