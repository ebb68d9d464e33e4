// Gemma 3: norms before and after attention and feed-forward, norms on each head of q and k, five
// layers with a window to each without, which turn by different bases; GELU; a scaled embedding.
//
// Sources: Gemma 3, arXiv:2503.19786, and Google's published model code; keys, names and what files
// leave out from llama.cpp (src/models/gemma3.cpp). GGUF's norm weights have the 1 added that the
// original adds when it runs.
#include <cmath>

#include "model/arch/shared.h"

namespace plimsoll::model {
namespace gemma3 {

constexpr uint32_t kPeriod = 6;            // the last layer of so many has no window
constexpr double kWindowTheta = 10000.0;   // where the file does not say
constexpr uint32_t kLayersOfLargest = 62;  // of the 27B model, ...

// ... whose scores are scaled by other than the width of its heads.
void SetScoreScale(HyperParams& hp) {
  if (hp.n_layers == kLayersOfLargest) {
    const double width = static_cast<double>(hp.hidden_dim) / hp.layers[0].n_heads;
    hp.attention_scale = static_cast<float>(1 / std::sqrt(width));
  }
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  hp.rope.neox = true;
  hp.activation = Activation::kGelu;
  hp.embedding_scale = std::sqrt(static_cast<float>(hp.hidden_dim));
  SetScoreScale(hp);
  const uint32_t period = reader.U32Or("attention.sliding_window_pattern", kPeriod, 1, kMaxLayers);
  for (uint32_t i = period - 1; i < hp.n_layers; i += period) {
    hp.layers[i].window = 0;
  }
  RopeParams& window = hp.window_rope.emplace();
  window.n_dims = hp.rope.n_dims;
  window.theta = reader.F64Or("rope.freq_base_swa", kWindowTheta, 1.0, 1e12);
  hp.logit_cap = static_cast<float>(reader.F64Or("final_logit_softcapping", 0.0, 0.0, 1e6));
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareQkNorm(hp, layer_idx, QkNorm::kPerHead, declarations, weights.attention);
  declarations.AddVector(LayerTensor(layer_idx, "post_attention_norm"), {hp.hidden_dim},
                         weights.attention.post_norm);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
  declarations.AddVector(LayerTensor(layer_idx, "post_ffw_norm"), {hp.hidden_dim},
                         weights.feed_forward.post_norm);
}

void RunLayer(LayerPieces& pieces, const LayerWeights& weights) {
  pieces.Norm(weights.attention.norm);
  pieces.Attention(weights.attention);
  pieces.NormBranch(weights.attention.post_norm);
  pieces.Norm(weights.feed_forward.norm);
  pieces.FeedForward(weights.feed_forward);
  pieces.NormBranch(weights.feed_forward.post_norm);
}

}  // namespace gemma3

const Architecture kGemma3 = {"gemma3", gemma3::Adjust, gemma3::DeclareLayer, gemma3::RunLayer};

}  // namespace plimsoll::model
