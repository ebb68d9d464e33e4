// A made-up byte-level BPE vocabulary of any size, so that a random model's file holds a tokenizer
// that works on every text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace plimsoll::random_model {

struct BpeVocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;  // GGUF token types: 1 normal, 3 control
  std::vector<std::string> merges;
  uint32_t bos = 0;  // <|endoftext|>
  uint32_t eos = 0;  // <|im_end|>
};

// The fewest tokens there can be: the bytes and the control tokens.
inline constexpr uint32_t kVocabSizeMin = 256 + 3;

[[nodiscard]] BpeVocabulary MakeBpeVocabulary(uint32_t vocab_size);

}  // namespace plimsoll::random_model
