// The pre-tokenizers of byte-level BPE vocabularies: by the name that GGUF gives them, or as the
// steps of a tokenizer.json.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/splitter.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// What a name of tokenizer.ggml.pre stands for.
struct PreTokenizerFamily {
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;
  bool add_bos = false;
};

// kBadModel with the list of known names when there is none of that name.
[[nodiscard]] Result<PreTokenizerFamily> FindPreTokenizer(std::string_view name);

// All names, in order of the alphabet.
[[nodiscard]] std::vector<std::string_view> PreTokenizerNames();

// Whether the steps of a tokenizer.json cut as the family of that name does.
[[nodiscard]] bool CutsAs(std::span<const SplitStep> steps, std::string_view name);

// Immutable and thread-safe.
class PreTokenizer {
 public:
  // More steps than any real tokenizer has are refused.
  static constexpr size_t kMaxSteps = 32;

  [[nodiscard]] static Result<PreTokenizer> Create(std::span<const SplitStep> steps);

  // Without steps the text is one word.
  void Split(std::string_view text, WordSink& sink) const;
  [[nodiscard]] uint64_t Bytes() const;

 private:
  std::vector<std::unique_ptr<const Splitter>> splitters_;
};

}  // namespace plimsoll::text
