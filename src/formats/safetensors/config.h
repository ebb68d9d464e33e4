// A Hugging Face config.json in GGUF's metadata keys, after the conventions of llama.cpp's
// convert_hf_to_gguf.py.
#pragma once

#include <string>

#include "base/result.h"
#include "formats/metadata.h"
#include "io/file.h"

namespace plimsoll::formats::safetensors {

struct Config {
  Metadata metadata;
  // The output matrix is the embedding: a file's own lm_head.weight is not used.
  bool output_is_tied = false;
  // Unset when config.json does not say.
  bool says_untied = false;
};

// general.architecture is llama (for llama, mistral and mixtral), qwen2, qwen2moe, qwen3, qwen3moe
// or olmoe; its keys hold the dimensions, RoPE scaling and routing. Beside GGUF's own keys:
//   plimsoll.rope.neox                 true: q and k are not permuted, pairs are half a head apart
//   ARCH.rope.scaling.type             also "dynamic" and "llama3" (with low_freq_factor and
//                                      high_freq_factor beside factor)
//   ARCH.expert_weights_norm           norm_topk_prob
// kBadModel, naming the key, for what this engine would compute wrongly: other model types, other
// activations, quantized weights, windows or dense layers in some layers only.
[[nodiscard]] Result<Config> ReadConfig(const io::File& file, const std::string& model_name);

}  // namespace plimsoll::formats::safetensors
