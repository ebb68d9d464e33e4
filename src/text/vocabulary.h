// What a tokenizer is made from, whatever file it came in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"

namespace plimsoll::text {

enum class TokenizerModel {
  kByteBpe,           // byte-level BPE with a pre-tokenizer (GPT-2 family)
  kSentencePieceBpe,  // scores decide the merges, byte fallback (Llama 2)
  kUnigram,           // scores are log-probabilities, Viterbi
};

// GGUF's token types, with its numbers.
enum class TokenType : int8_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

// One cut of a pre-tokenizer: every part that the steps before it left is cut by the pattern.
struct SplitStep {
  std::string pattern;       // a regular expression over UTF-8 text
  bool keep_matches = true;  // what matches becomes words of its own
  bool keep_gaps = true;     // and so does what lies between
};

// Unicode's normal forms, applied to the text before anything else.
enum class Normalization { kNone, kNfc, kNfd, kNfkc, kNfkd };

struct VocabularySpec {
  TokenizerModel model = TokenizerModel::kByteBpe;
  // Byte-level BPE: GGUF's tokenizer.ggml.pre ("llama-bpe", "qwen2", ...; empty: "default"), or the
  // steps of a tokenizer.json, which are used in its place when they are set.
  std::string pre_tokenizer;
  std::optional<std::vector<SplitStep>> split_steps;
  Normalization normalization = Normalization::kNone;
  std::vector<std::string> tokens;  // as the file spells them
  std::vector<float> scores;        // empty or one a token
  std::vector<TokenType> types;     // empty (all normal) or one a token
  // "left right", best first. A SentencePiece BPE that has them goes by them and not by scores.
  std::vector<std::string> merges;
  // A SentencePiece BPE whose list of merges also has some of what is no token: they do not count.
  bool lists_merges = false;
  std::optional<TokenId> bos, eos, eot, unk, pad;
  std::vector<TokenId> extra_end_tokens;  // further tokens that end a generation
  std::optional<bool> add_bos, add_eos;   // unset: what the model family does
  bool add_space_prefix = true;           // SentencePiece: a space before the text
  bool remove_extra_whitespaces = false;
  bool space_prefix_after_special = true;  // and after each special token
  bool space_prefix_before_space = true;   // also before a text that starts with a space
  // A word that is a token is taken whole. Unset: as the pre-tokenizer's family does.
  std::optional<bool> ignore_merges;
  // Special tokens that take the white space before or after them with them.
  std::vector<TokenId> strips_left, strips_right;
};

}  // namespace plimsoll::text
