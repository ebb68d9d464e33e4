// Llama 4: three layers whose attention stays within chunks of the text to each one that sees all
// of it; those rotate queries and keys and then norm them, this one has no positions but in queries
// that grow with theirs. Layers with experts, of which one weighs its input by a sigmoid, stand
// between dense ones.
//
// Sources: Meta's published model code and configurations; temperature, arXiv:2501.19399; keys,
// names and what files leave out from llama.cpp (src/models/llama4.cpp) and Ollama's converter
// (chunk_size, use_qk_norm).
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace llama4 {

constexpr uint32_t kPeriod = 4;     // the last layer of so many sees everything
constexpr uint32_t kLength = 8192;  // of a chunk, and of a step of the temperature
constexpr double kTemperature = 0.1;
constexpr uint32_t kExpertsWithoutNorms = 128;  // Maverick

void SetAttention(KeyReader& reader, HyperParams& hp) {
  constexpr uint32_t kMost = 1U << 31;
  // A window of 0 stands for models that see everything everywhere.
  reader.U32Or("attention.sliding_window", kLength, 1, kMost);
  reader.U32Or("attention.sliding_window_pattern", kPeriod, kPeriod, kPeriod);
  const uint32_t chunk = reader.U32Or("attention.chunk_size", kLength, 1, kMost);
  const bool has_norms =
      reader.BoolOr("use_qk_norm", hp.layers[0].n_experts != kExpertsWithoutNorms);
  hp.temperature = {.scale = reader.F64Or("attention.temperature_scale", kTemperature, 0.0, 1e3),
                    .length = reader.U32Or("attention.temperature_length", kLength, 1, kMost),
                    .offset = 1};
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    const bool sees_all = (i + 1) % kPeriod == 0;
    layer.window = 0;
    layer.chunk = sees_all ? 0 : chunk;
    layer.has_rope = !sees_all;
    layer.has_unit_heads = !sees_all && has_norms;
    layer.lengthens_queries = sees_all;
  }
}

void SetFeedForward(KeyReader& reader, HyperParams& hp) {
  hp.router.score = RouterScore::kSigmoid;
  hp.router.normalize = false;
  hp.router.weighs_input = true;
  if (!hp.layers[0].is_moe()) {
    reader.Note({ErrorKind::kBadModel,
                 fmt::format("{} is missing or below 2", reader.Key("expert_count"))});
  }
  const uint32_t step = reader.U32("interleave_moe_layer_step", 1, hp.n_layers);
  const auto dense_ff_dims = reader.PerLayer("feed_forward_length", hp.n_layers, 1, kMaxDim);
  for (uint32_t i = 0; i < hp.n_layers; ++i) {
    LayerParams& layer = hp.layers[i];
    if ((i + 1) % step == 0) {
      layer.shared_ff_dim = layer.expert_ff_dim;
    } else {
      layer.n_experts = layer.n_experts_active = 1;
      layer.expert_ff_dim = dense_ff_dims[i];
      layer.shared_ff_dim = 0;
    }
  }
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.rope.neox = false;
  SetAttention(reader, hp);
  SetFeedForward(reader, hp);
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
  if (hp.layers[layer_idx].shared_ff_dim != 0) {
    DeclareSharedExpert(hp, layer_idx, declarations, weights.feed_forward.shared);
  }
}

}  // namespace llama4

const Architecture kLlama4 = {"llama4", llama4::Adjust, llama4::DeclareLayer, RunPreNormLayer};

}  // namespace plimsoll::model
