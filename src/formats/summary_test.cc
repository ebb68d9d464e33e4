#include "formats/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::formats {
namespace {

using tensor::DType;
using tensor::MakeShape;

TEST(ClassifyTensorTest, ByName) {
  const std::vector<std::pair<std::string_view, TensorKind>> expected = {
      {"token_embd.weight", TensorKind::kEmbedding},
      {"position_embd.weight", TensorKind::kEmbedding},
      {"output.weight", TensorKind::kOutput},
      {"output.bias", TensorKind::kOutput},
      {"output_norm.weight", TensorKind::kNorm},
      {"rope_freqs.weight", TensorKind::kOther},
      {"blk.0.attn_norm.weight", TensorKind::kNorm},
      {"blk.0.attn_q_norm.weight", TensorKind::kNorm},
      {"blk.11.attn_q.weight", TensorKind::kAttention},
      {"blk.11.attn_output.bias", TensorKind::kAttention},
      {"blk.0.attn_sinks.weight", TensorKind::kAttention},
      {"blk.0.ssm_out.weight", TensorKind::kAttention},
      {"blk.0.ssm_a", TensorKind::kAttention},
      {"blk.0.ffn_norm.weight", TensorKind::kNorm},
      {"blk.0.ffn_gate_inp.weight", TensorKind::kRouter},
      {"blk.0.exp_probs_b.bias", TensorKind::kRouter},
      {"blk.0.ffn_gate_inp_shexp.weight", TensorKind::kFeedForward},
      {"blk.0.ffn_up_shexp.weight", TensorKind::kFeedForward},
      {"blk.0.ffn_down.weight", TensorKind::kFeedForward},
      {"blk.0.ffn_down_exps.weight", TensorKind::kExperts},
      {"blk.0.ffn_gate_up_exps.weight", TensorKind::kExperts},
      {"blk.0.ffn_down.7.weight", TensorKind::kExperts},
      {"blk.0.unheard_of.weight", TensorKind::kOther},
      {"blk.", TensorKind::kOther},
      {"", TensorKind::kOther},
  };
  for (const auto& [name, kind] : expected) {
    EXPECT_EQ(TensorKindName(ClassifyTensor(name)), TensorKindName(kind)) << name;
  }
}

TEST(ClassifyTensorTest, LayersBehindThoseInUsePredict) {
  EXPECT_EQ(ClassifyTensor("blk.46.nextn.enorm.weight", 46), TensorKind::kPrediction);
  EXPECT_EQ(ClassifyTensor("blk.46.ffn_up_exps.weight", 46), TensorKind::kPrediction);
  EXPECT_EQ(ClassifyTensor("blk.45.ffn_up_exps.weight", 46), TensorKind::kExperts);
  EXPECT_EQ(ClassifyTensor("output.weight", 0), TensorKind::kOutput);
}

void Add(Catalogue& catalogue, std::string name, DType dtype, tensor::Shape shape) {
  TensorEntry entry;
  entry.name = std::move(name);
  entry.dtype = dtype;
  entry.shape = shape;
  entry.bytes = *tensor::BytesFor(dtype, shape.Elements());
  ASSERT_TRUE(catalogue.Add(entry));
}

Catalogue Moe() {
  Catalogue catalogue;
  catalogue.metadata.SetString("general.architecture", "qwen3moe");
  catalogue.metadata.SetU32("qwen3moe.expert_count", 4);
  catalogue.metadata.SetU32("qwen3moe.expert_used_count", 1);
  Add(catalogue, "token_embd.weight", DType::kF16, MakeShape(10, 7));            // 140 bytes
  Add(catalogue, "blk.0.attn_q.weight", DType::kF32, MakeShape(10, 10));         // 400
  Add(catalogue, "blk.0.ffn_gate_inp.weight", DType::kF32, MakeShape(10, 4));    // 160
  Add(catalogue, "blk.0.ffn_up_exps.weight", DType::kF32, MakeShape(10, 5, 4));  // 800
  Add(catalogue, "output_norm.weight", DType::kF32, MakeShape(10));              // 40
  return catalogue;
}

TEST(SummaryTest, NoTokenReadsTheLayersThatPredict) {
  Catalogue catalogue = Moe();
  catalogue.metadata.SetU32("qwen3moe.block_count", 2);
  catalogue.metadata.SetU32("qwen3moe.nextn_predict_layers", 1);
  const Summary without = Summarise(catalogue);
  Add(catalogue, "blk.1.ffn_up_exps.weight", DType::kF32, MakeShape(10, 5, 4));  // 800
  Add(catalogue, "blk.1.nextn.enorm.weight", DType::kF32, MakeShape(10));        // 40
  const Summary summary = Summarise(catalogue);
  EXPECT_EQ(summary.n_prediction_layers, 1U);
  EXPECT_EQ(summary.of(TensorKind::kPrediction).bytes, 840U);
  EXPECT_EQ(summary.all.bytes, without.all.bytes + 840);
  EXPECT_EQ(summary.bytes_per_token.total(), without.bytes_per_token.total());
  EXPECT_EQ(summary.parameters_active, without.parameters_active);
  // What makes no sense is not believed.
  catalogue.metadata.SetU32("qwen3moe.nextn_predict_layers", 2);
  EXPECT_EQ(Summarise(catalogue).n_prediction_layers, 0U);
}

TEST(SummaryTest, ATokenReadsItsShareOfTheExperts) {
  Catalogue catalogue = Moe();
  Add(catalogue, "output.weight", DType::kF32, MakeShape(10, 7));  // 280
  const Summary summary = Summarise(catalogue);
  EXPECT_EQ(summary.all.n_tensors, 6U);
  EXPECT_EQ(summary.all.bytes, 140U + 400 + 160 + 800 + 40 + 280);
  EXPECT_EQ(summary.all.parameters, 70U + 100 + 40 + 200 + 10 + 70);
  EXPECT_EQ(summary.of(TensorKind::kExperts).bytes, 800U);
  EXPECT_EQ(summary.n_experts, 4U);
  EXPECT_EQ(summary.n_experts_active, 1U);
  EXPECT_FALSE(summary.output_is_tied);
  EXPECT_EQ(summary.bytes_per_token.dense, 600U);
  EXPECT_EQ(summary.bytes_per_token.output, 280U);
  EXPECT_EQ(summary.bytes_per_token.experts, 200U);
  EXPECT_EQ(summary.bytes_per_token.embedding_row, 20U);
  EXPECT_EQ(summary.bytes_per_token.total(), 1100U);
  EXPECT_EQ(summary.parameters_active, 150U + 70 + 50);
  ASSERT_EQ(summary.by_dtype.size(), 2U);
  EXPECT_EQ(summary.by_dtype[0].first, DType::kF32);
  EXPECT_EQ(summary.by_dtype[1].second.bytes, 140U);
}

TEST(SummaryTest, ATiedEmbeddingIsReadAsTheOutput) {
  const Summary summary = Summarise(Moe());
  EXPECT_TRUE(summary.output_is_tied);
  EXPECT_EQ(summary.bytes_per_token.output, 140U);
  EXPECT_EQ(summary.bytes_per_token.embedding_row, 20U);
  EXPECT_EQ(summary.parameters_active, 150U + 70 + 50);
}

TEST(SummaryTest, WithoutUsableCountsAllExpertsAreRead) {
  for (const uint32_t used : {0U, 5U}) {
    Catalogue catalogue = Moe();
    catalogue.metadata.SetU32("qwen3moe.expert_used_count", used);
    EXPECT_EQ(Summarise(catalogue).bytes_per_token.experts, 800U);
  }
  Catalogue catalogue = Moe();
  catalogue.metadata.SetString("qwen3moe.expert_count", "four");
  EXPECT_EQ(Summarise(catalogue).bytes_per_token.experts, 800U);
}

TEST(SummaryTest, AVocabularyHasNothingToRead) {
  const Summary summary = Summarise(Catalogue());
  EXPECT_EQ(summary.all.bytes, 0U);
  EXPECT_EQ(summary.bytes_per_token.total(), 0U);
}

}  // namespace
}  // namespace plimsoll::formats
