// Ministral 3 and other models of Mistral with YaRN: Llama's layers, whose queries grow longer with
// their position.
//
// Sources: Mistral's published configurations; keys, names and the meaning of the scalings in files
// from llama.cpp (src/models/mistral3.cpp). q and k are permuted for neighbouring rotary pairs,
// as Llama's.
#include "kernels/trig.h"
#include "model/arch/shared.h"

namespace plimsoll::model {
namespace mistral3 {

// YaRN's length of rotated vectors, 1 + 0.1 ln(factor), is divided by the same with the key's
// multiplier before the logarithm.
void SetLength(KeyReader& reader, HyperParams& hp) {
  const double m = reader.F64Or("rope.scaling.yarn_log_multiplier", 0.0, 0.0, 1e3);
  if (m != 0 && hp.rope.scaling == RopeScaling::kYarn && hp.rope.factor > 1) {
    hp.rope.attention_factor /= 1.0 + 0.1 * m * kernels::Log(hp.rope.factor);
  }
}

Result<> Adjust(const formats::Metadata& metadata, HyperParams& hp) {
  KeyReader reader(metadata, hp.architecture);
  // Softmax over the chosen experts alone is the same as over all, renormalised.
  hp.router.normalize = true;
  SetLength(reader, hp);
  hp.temperature.scale = reader.F64Or("attention.temperature_scale", 0.0, 0.0, 1e3);
  hp.temperature.length = hp.rope.n_ctx_original;
  return reader.status();
}

void DeclareLayer(const HyperParams& hp, uint32_t layer_idx, Declarations& declarations,
                  LayerWeights& weights) {
  DeclareAttention(hp, layer_idx, Need::kOptional, declarations, weights.attention);
  DeclareFeedForward(hp, layer_idx, declarations, weights.feed_forward);
}

}  // namespace mistral3

const Architecture kMistral3 = {"mistral3", mistral3::Adjust, mistral3::DeclareLayer,
                                RunPreNormLayer};

}  // namespace plimsoll::model
