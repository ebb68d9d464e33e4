// What `plimsoll prune` writes, on random models of every architecture with experts.
#include <cstring>
#include <fstream>

#include <gmock/gmock.h>
#include <unistd.h>

#include "engine/prune_model.h"
#include "formats/catalogue.h"
#include "formats/gguf/writer.h"
#include "formats/layer_tensor_name.h"
#include "kernels/half.h"
#include "tests/loaded_model.h"
#include "tools/random_model/random_model.h"

namespace plimsoll::tests {
namespace {

namespace fs = std::filesystem;
using engine::LayerPruning;
using engine::PruneModel;
using engine::PruneModelOptions;
using formats::TensorEntry;
using random_model::ModelSpec;
using testing::HasSubstr;

class PrunedModelTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  void WriteModel(std::string_view arch, tensor::DType type = tensor::DType::kF32,
                  uint32_t n_groups = 1) const {
    ModelSpec spec;
    spec.arch = arch;
    ASSERT_TRUE(random_model::ApplyPreset("tiny", spec));
    spec.n_experts = arch == "llama" ? 8 : spec.n_experts;
    spec.type = type;
    if (n_groups > 1) {
      spec.n_expert_groups = n_groups;
      spec.n_expert_groups_used = n_groups / 2;
    }
    const auto written = random_model::WriteRandomModel(spec, model_);
    ASSERT_TRUE(written) << written.error().message;
  }
  [[nodiscard]] PruneModelOptions Options(double ratio) const {
    return {.model = model_, .output = output_, .scored = {}, .ratio = ratio, .n_threads = 2};
  }
  static std::vector<std::byte> BytesOf(const formats::Catalogue& catalogue,
                                        const TensorEntry& tensor) {
    std::vector<std::byte> bytes(tensor.bytes);
    EXPECT_TRUE(catalogue.Read(tensor, 0, bytes));
    return bytes;
  }
  static std::string FileBytes(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_ =
      fs::path(testing::TempDir()) / ("plimsoll_prune_" + std::to_string(::getpid()));
  fs::path model_ = folder_ / "model.gguf";
  fs::path output_ = folder_ / "small.gguf";
};

std::vector<std::string> WithExperts() {
  std::vector<std::string> names;
  for (const std::string_view arch : random_model::Architectures()) {
    ModelSpec spec;
    spec.arch = arch;
    EXPECT_TRUE(random_model::ApplyPreset("tiny", spec));
    if (arch == "llama" || spec.n_experts > 0) {
      names.emplace_back(arch);
    }
  }
  return names;
}

// The parts of the experts that stayed, behind one another.
std::vector<std::byte> PartsOf(const std::vector<std::byte>& whole, const LayerPruning& layer) {
  const size_t part = whole.size() / layer.scores.size();
  std::vector<std::byte> parts;
  for (const uint32_t expert : layer.kept) {
    const auto first = whole.begin() + static_cast<std::ptrdiff_t>(expert * part);
    parts.insert(parts.end(), first, first + static_cast<std::ptrdiff_t>(part));
  }
  return parts;
}

TEST_F(PrunedModelTest, WhatStaysKeepsItsBits) {
  for (const std::string& arch : WithExperts()) {
    WriteModel(arch, tensor::DType::kQ8_0);
    auto options = Options(0.25);
    options.replaces = true;
    const auto pruned = PruneModel(options);
    if (!pruned && pruned.error().message.find("no experts") != std::string::npos) {
      continue;  // a family without them, whatever the specification says
    }
    ASSERT_TRUE(pruned) << arch << ": " << pruned.error().message;
    const auto before = formats::OpenModel(model_).value();
    const auto after = formats::OpenModel(output_).value();
    EXPECT_EQ(after.metadata.U32(arch + ".expert_count"), 6U) << arch;
    EXPECT_EQ(after.TotalBytes(), pruned->bytes);
    ASSERT_EQ(after.tensors().size(), before.tensors().size()) << arch;
    size_t n_cut = 0;
    for (const TensorEntry& tensor : before.tensors()) {
      const TensorEntry* const other = after.Find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      auto wanted = BytesOf(before, tensor);
      const auto name = formats::ParseLayerTensorName(tensor.name);
      if (other->bytes != tensor.bytes) {
        ASSERT_TRUE(name) << tensor.name;
        const auto layer =
            std::ranges::find(pruned->layers, name->layer_idx, &LayerPruning::layer_idx);
        ASSERT_NE(layer, pruned->layers.end()) << tensor.name;
        EXPECT_THAT(tensor.name, testing::AnyOf(HasSubstr("_exps."), HasSubstr("ffn_gate_inp."),
                                                HasSubstr("exp_probs_b")));
        wanted = PartsOf(wanted, *layer);
        ++n_cut;
      }
      EXPECT_EQ(BytesOf(after, *other), wanted) << arch << " " << tensor.name;
    }
    EXPECT_GE(n_cut, 4 * pruned->layers.size()) << arch;  // gate, up, down, router
  }
}

// A token whose experts all stayed meets the same weights, if what the others would have weighed
// does not count.
TEST_F(PrunedModelTest, TokensThatUseWhatStayedMeetTheSameWeights) {
  size_t n_archs = 0;
  for (const std::string& arch : WithExperts()) {
    WriteModel(arch);
    auto options = Options(0.25);
    options.replaces = true;
    if (!PruneModel(options)) {
      continue;  // the test before has its reason
    }
    LoadedModel before(model_, {});
    LoadedModel after(output_, {});
    const model::RouterParams& router = before.model().hyper_params().router;
    if (router.score == model::RouterScore::kSoftmax && !router.normalize) {
      continue;
    }
    ++n_archs;
    size_t n_same = 0;
    size_t n_other = 0;
    for (TokenId token = 1; token <= 60; ++token) {
      const auto a = before.AllLogits({&token, 1}, 1);
      const auto b = after.AllLogits({&token, 1}, 1);
      float difference = 0;
      float most = 0;
      for (size_t i = 0; i < a.size(); ++i) {
        difference = std::max(difference, std::abs(a[i] - b[i]));
        most = std::max(most, std::abs(a[i]));
      }
      ++(difference < 1e-4F * most ? n_same : n_other);
    }
    EXPECT_GE(n_same, 3U) << arch;
    EXPECT_GE(n_other, 3U) << arch;
  }
  EXPECT_GE(n_archs, 5U);
}

TEST_F(PrunedModelTest, TheFileIsTheSameWhateverTheThreads) {
  WriteModel("qwen3moe", tensor::DType::kQ4_0);
  auto options = Options(0.5);
  ASSERT_TRUE(PruneModel(options));
  const std::string bytes = FileBytes(output_);
  options.n_threads = 5;
  options.replaces = true;
  ASSERT_TRUE(PruneModel(options));
  EXPECT_EQ(FileBytes(output_), bytes);
}

// From the F32 bytes of an expert's three matrices.
double ScoreOf(const formats::Catalogue& catalogue, uint32_t layer_idx, uint32_t expert) {
  double sum = 0;
  double sum_of_squares = 0;
  size_t n = 0;
  for (const char* name : {"gate", "up", "down"}) {
    const TensorEntry* const stack =
        catalogue.Find(fmt::format("blk.{}.ffn_{}_exps.weight", layer_idx, name));
    std::vector<float> weights(stack->shape.dims[0] * stack->shape.dims[1]);
    const auto bytes = std::as_writable_bytes(std::span(weights));
    EXPECT_TRUE(catalogue.Read(*stack, expert * bytes.size(), bytes));
    for (const float weight : weights) {
      sum += std::abs(weight);
      sum_of_squares += double{weight} * weight;
    }
    n += weights.size();
  }
  return sum / std::sqrt(static_cast<double>(n) * sum_of_squares);
}

TEST_F(PrunedModelTest, ScoresAreThoseOfTheModelThatIsNamed) {
  WriteModel("qwen3moe");
  const auto first = PruneModel(Options(0.25)).value();
  const auto catalogue = formats::OpenModel(model_).value();
  for (uint32_t expert = 0; expert < 8; ++expert) {
    EXPECT_NEAR(first.layers[1].scores[expert], ScoreOf(catalogue, 1, expert), 1e-9);
  }
  EXPECT_FALSE(first.is_quantized);
  const fs::path original = folder_ / "original.gguf";
  fs::rename(model_, original);
  WriteModel("qwen3moe", tensor::DType::kQ4_0);
  auto options = Options(0.25);
  options.replaces = true;
  const auto by_itself = PruneModel(options).value();
  EXPECT_TRUE(by_itself.is_quantized);
  EXPECT_NE(by_itself.layers.front().scores, first.layers.front().scores);
  options.scored = original;
  const auto by_original = PruneModel(options).value();
  EXPECT_EQ(by_original.layers.front().scores, first.layers.front().scores);
  EXPECT_EQ(by_original.layers.front().removed, first.layers.front().removed);
}

TEST_F(PrunedModelTest, GroupsLoseAsManyEach) {
  WriteModel("deepseek2", tensor::DType::kF32, 2);
  const auto pruned = PruneModel(Options(0.25));
  ASSERT_TRUE(pruned) << pruned.error().message;
  for (const LayerPruning& layer : pruned->layers) {
    EXPECT_EQ(std::ranges::count_if(layer.removed, [](uint32_t id) { return id < 4; }), 1);
  }
  LoadedModel after(output_, {});
  const TokenId token = 7;
  EXPECT_TRUE(std::isfinite(after.AllLogits({&token, 1}, 1).front()));
}

TEST_F(PrunedModelTest, WhatCannotBe) {
  const auto refusal = [](const PruneModelOptions& options, ErrorKind kind) {
    const auto pruned = PruneModel(options);
    EXPECT_FALSE(pruned);
    EXPECT_EQ(pruned.error().kind, kind);
    return pruned.error().message;
  };
  WriteModel("qwen3");
  EXPECT_THAT(refusal(Options(0.25), ErrorKind::kUsage), HasSubstr("no experts"));
  WriteModel("qwen3moe");
  EXPECT_THAT(refusal(Options(0.9), ErrorKind::kUsage), HasSubstr("1 would stay"));
  auto itself = Options(0.25);
  itself.output = model_;
  EXPECT_THAT(refusal(itself, ErrorKind::kUsage), HasSubstr("is the model itself"));
  auto stopped = Options(0.25);
  stopped.is_stopped = [] { return true; };
  EXPECT_THAT(refusal(stopped, ErrorKind::kInterrupted), HasSubstr("stopped"));
  auto elsewhere = Options(0.25);
  elsewhere.output = folder_ / "nowhere" / "x.gguf";
  EXPECT_EQ(PruneModel(elsewhere).error().kind, ErrorKind::kIo);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace plimsoll::tests
