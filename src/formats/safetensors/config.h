// A Hugging Face config.json in GGUF's metadata keys, after the conventions of llama.cpp's
// conversion scripts.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "formats/metadata.h"
#include "formats/safetensors/family.h"
#include "io/file.h"

namespace plimsoll::formats::safetensors {

// How 8-bit weights are scaled: a factor for so many rows and columns. 0: one for all.
struct ScaleBlocks {
  uint64_t rows = 0;
  uint64_t columns = 0;
};

struct Config {
  const Family* family = nullptr;
  Metadata metadata;
  Dimensions dimensions;
  std::vector<ConfiguredTensor> tensors;
  ScaleBlocks scale_blocks;
  // The output matrix is the embedding: a file's own lm_head.weight is not used.
  bool output_is_tied = false;
  // Unset when config.json does not say.
  bool says_untied = false;
};

// general.architecture is that of the family's GGUF files; its keys hold the dimensions, RoPE
// scaling and routing. Beside GGUF's own keys:
//   ARCH.rope.scaling.type             also "dynamic"
//   plimsoll.eos_token_ids             all of them, where there are several
// kBadModel, naming the key, for what this engine would compute wrongly: other model types, other
// activations, quantized weights but FP8 and MXFP4, windows or dense layers in some layers only
// where the family has none.
[[nodiscard]] Result<Config> ReadConfig(const io::File& file, const std::string& model_name);

}  // namespace plimsoll::formats::safetensors
