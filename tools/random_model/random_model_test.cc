#include "tools/random_model/random_model.h"

#include <cmath>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>

#include "kernels/kernels.h"
#include "tools/random_model/block_fill.h"
#include "tools/random_model/bpe_vocabulary.h"
#include "tools/random_model/random_stream.h"
#include "tools/random_model/tensor_plan.h"

namespace plimsoll::random_model {
namespace {

using tensor::DType;
using testing::HasSubstr;

ModelSpec TinySpec(std::string arch, DType type) {
  ModelSpec spec;
  spec.arch = std::move(arch);
  spec.type = type;
  EXPECT_TRUE(ApplyPreset("tiny", spec));
  return spec;
}

std::string BytesOf(const ModelSpec& spec) {
  const auto path = std::filesystem::path(testing::TempDir()) / "random_model_test.gguf";
  const auto written = WriteRandomModel(spec, path);
  EXPECT_TRUE(written) << written.error().message;
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(RandomModel, SameSpecGivesSameBytesAndAnotherSeedOthers) {
  ModelSpec spec = TinySpec("qwen3moe", DType::kQ4_K);
  const std::string first = BytesOf(spec);
  EXPECT_EQ(first, BytesOf(spec));
  spec.seed = 2;
  EXPECT_NE(first, BytesOf(spec));
}

TEST(RandomModel, RefusesWhatMakesNoModel) {
  ModelSpec spec = TinySpec("llama", DType::kQ4_K);
  spec.ffn_dim = 100;
  EXPECT_THAT(Check(spec).error().message, HasSubstr("no multiple of Q4_K's block of 256"));
  spec = TinySpec("gpt5", DType::kF32);
  EXPECT_THAT(Check(spec).error().message, HasSubstr("no architecture 'gpt5'"));
  EXPECT_EQ(ApplyPreset("huge", spec).error().kind, ErrorKind::kUsage);
  const auto nowhere = WriteRandomModel(TinySpec("llama", DType::kF32), "/nonexistent/model.gguf");
  EXPECT_EQ(nowhere.error().kind, ErrorKind::kIo);
}

TEST(RandomModel, TiedModelsHaveNoOutputMatrix) {
  ModelSpec spec = TinySpec("qwen3", DType::kF16);
  const auto has_output = [&] {
    const auto tensors = PlanTensors(spec);
    return tensors.back().name == "output.weight";
  };
  EXPECT_TRUE(has_output());
  spec.tied_output = true;
  EXPECT_FALSE(has_output());
}

TEST(RandomStream, DependsOnSeedAndName) {
  EXPECT_EQ(RandomStream(1, "a").Next(), RandomStream(1, "a").Next());
  EXPECT_NE(RandomStream(1, "a").Next(), RandomStream(1, "b").Next());
  EXPECT_NE(RandomStream(1, "a").Next(), RandomStream(2, "a").Next());
}

TEST(BpeVocabulary, EveryMergeMakesAToken) {
  const BpeVocabulary vocabulary = MakeBpeVocabulary(2000);
  ASSERT_EQ(vocabulary.tokens.size(), 2000);
  ASSERT_EQ(vocabulary.types.size(), 2000);
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    std::string merged = vocabulary.merges[i];
    merged.erase(merged.find(' '), 1);
    EXPECT_EQ(merged, vocabulary.tokens[256 + i]);
  }
  EXPECT_EQ(vocabulary.tokens[vocabulary.bos], "<|endoftext|>");
  EXPECT_EQ(vocabulary.tokens[vocabulary.eos], "<|im_end|>");
}

class EveryType : public testing::TestWithParam<tensor::DTypeTraits> {};

// Mean square and mean of the dequantized weights, over 1024 rows of 1024.
TEST_P(EveryType, HasTheSpreadAskedForAroundZero) {
  constexpr uint64_t kRow = 1024;
  constexpr uint64_t kRows = 1024;
  constexpr double kRms = 0.03;
  RandomStream random(1, "weights");
  std::vector<std::byte> bytes(*tensor::BytesFor(GetParam().dtype, kRow * kRows) +
                               tensor::kReadablePadding);
  FillWeights(GetParam().dtype, random, kRms, 0,
              std::span(bytes).first(bytes.size() - tensor::kReadablePadding));
  const tensor::Matrix matrix{GetParam().dtype, tensor::Layout::kNative, kRow, kRows, bytes.data()};
  double sum = 0;
  double squares = 0;
  std::vector<float> row(kRow);
  for (uint64_t r = 0; r < kRows; ++r) {
    kernels::AllKernelSets()[0]->dequantize_row(matrix, r, row.data());
    for (const float x : row) {
      sum += x;
      squares += double{x} * x;
    }
  }
  const double n = kRow * kRows;
  EXPECT_NEAR(std::sqrt(squares / n), kRms, 0.02 * kRms);
  EXPECT_NEAR(sum / n, 0, 0.05 * kRms);
}

INSTANTIATE_TEST_SUITE_P(, EveryType, testing::ValuesIn(tensor::AllDTypes()),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace plimsoll::random_model
