// Matrices with scales beside them ("X.scale"): a model of which every matrix is larger by a power
// of two, and has its inverse as scale, gives the logits of the model itself, bit for bit.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "formats/catalogue.h"
#include "formats/gguf/writer.h"
#include "tests/loaded_model.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

using formats::TensorEntry;
using testing::HasSubstr;

constexpr std::string_view kWeight = ".weight";

// Of the matrix that is number `i` of its tensor.
float ScaleOf(uint64_t i) { return std::ldexp(1.0F, -static_cast<int>(i % 3) - 1); }

bool IsMatrix(const TensorEntry& tensor) {
  const std::string_view name = tensor.name;
  return tensor.shape.n_dims > 1 && name.ends_with(kWeight) &&
         name.find("conv1d") == std::string_view::npos;
}

std::string NameOfScale(const TensorEntry& tensor) {
  return tensor.name.substr(0, tensor.name.size() - kWeight.size()) + ".scale";
}

class MatrixScalesTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    random_model::ModelSpec spec;
    spec.arch = GetParam();
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.type = tensor::DType::kF32;
    const auto written = random_model::WriteRandomModel(spec, model_);
    ASSERT_TRUE(written) << written.error().message;
    for (size_t i = 0; i < 24; ++i) {
      tokens_.push_back(static_cast<TokenId>(i * 7919 % spec.vocab_size));
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // `n_more` scales too many for each tensor.
  void WriteScaled(uint64_t n_more = 0) const {
    const auto catalogue = formats::OpenModel(model_).value();
    std::vector<formats::gguf::TensorDeclaration> declarations;
    std::vector<std::vector<float>> values;
    for (const TensorEntry& tensor : catalogue.tensors()) {
      ASSERT_EQ(tensor.dtype, tensor::DType::kF32);
      declarations.push_back({tensor.name, tensor.dtype, tensor.shape});
      std::vector<float>& of_tensor = values.emplace_back(tensor.shape.Elements());
      ASSERT_TRUE(catalogue.Read(tensor, 0, std::as_writable_bytes(std::span(of_tensor))));
      if (!IsMatrix(tensor)) {
        continue;
      }
      const uint64_t n_matrices = tensor.shape.dims[2];
      const uint64_t n_each = of_tensor.size() / n_matrices;
      for (size_t i = 0; i < of_tensor.size(); ++i) {
        of_tensor[i] /= ScaleOf(i / n_each);
      }
      declarations.push_back(
          {NameOfScale(tensor), tensor::DType::kF32, tensor::MakeShape(n_matrices + n_more)});
      std::vector<float>& scales = values.emplace_back(n_matrices + n_more);
      for (size_t i = 0; i < scales.size(); ++i) {
        scales[i] = ScaleOf(i);
      }
    }
    auto writer = formats::gguf::Writer::Create(scaled_, catalogue.metadata, declarations).value();
    for (const std::vector<float>& of_tensor : values) {
      ASSERT_TRUE(writer.Append(std::as_bytes(std::span(of_tensor))));
    }
    ASSERT_TRUE(writer.Finish());
  }

  [[nodiscard]] std::vector<float> Logits(const std::filesystem::path& file,
                                          const LoadOptions& options) const {
    return LoadedModel(file, options).AllLogits(tokens_, 7);
  }

  std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                  fmt::format("plimsoll_scales_{}_{}", GetParam(), ::getpid());
  std::filesystem::path model_ = folder_ / "model.gguf";
  std::filesystem::path scaled_ = folder_ / "scaled.gguf";
  std::vector<TokenId> tokens_;
};

TEST_P(MatrixScalesTest, TurnBackWhatTheWeightsHave) {
  WriteScaled();
  const auto want = Logits(model_, {});
  const auto expect_same = [&](const LoadOptions& options, std::string_view what) {
    const auto got = Logits(scaled_, options);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0) << what;
  };
  expect_same({}, "in memory");
  expect_same({.kernels = "ref"}, "by the reference kernels");
  expect_same({.expert_share = 0.4}, "experts paged");
  expect_same({.kept_share = 0.5}, "streamed");
}

TEST_P(MatrixScalesTest, OneForEachMatrixOrTheTensorIsNamed) {
  WriteScaled(1);
  const auto catalogue = formats::OpenModel(scaled_).value();
  kernels::Team team(1);
  const auto model =
      model::Model::Open(catalogue, team, {.kernels = kernels::SelectKernelSet("").value()});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().kind, ErrorKind::kBadModel);
  EXPECT_THAT(model.error().message,
              HasSubstr("tensor token_embd.scale has the shape [2], expected is [1]"));
}

INSTANTIATE_TEST_SUITE_P(, MatrixScalesTest,
                         testing::Values("llama", "qwen3moe", "deepseek2", "qwen3next"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace plimsoll::tests
