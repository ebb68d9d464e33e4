#include "tools/random_model/bpe_vocabulary.h"

#include <array>
#include <string_view>

#include "base/invariant.h"

namespace plimsoll::random_model {
namespace {

constexpr std::array<std::string_view, 3> kControlTokens = {"<|endoftext|>", "<|im_start|>",
                                                            "<|im_end|>"};

std::string Utf8(uint32_t code_point) {
  if (code_point < 0x80) {
    return {static_cast<char>(code_point)};
  }
  return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
}

// Byte-level BPE writes each byte as a printable character: Latin-1's printable ones stand for
// themselves, the others are numbered from U+0100 in order (GPT-2's encoder, openai/gpt-2).
std::vector<std::string> ByteSymbols() {
  std::vector<std::string> symbols;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte <= 0xFF && byte != 0xAD);
    symbols.push_back(Utf8(printable ? byte : next++));
  }
  return symbols;
}

}  // namespace

// Words grow a letter at a time, in the order in which their stems came: " a", " b", ..., "aa",
// ..., " aa", ... Every token is made by one merge of an earlier token with a letter.
BpeVocabulary MakeBpeVocabulary(uint32_t vocab_size) {
  Invariant(vocab_size >= kVocabSizeMin, "MakeBpeVocabulary: vocab_size");
  const size_t n_words = vocab_size - kControlTokens.size();
  BpeVocabulary vocabulary;
  vocabulary.tokens = ByteSymbols();
  std::vector<std::string> stems = {vocabulary.tokens[' ']};
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    stems.emplace_back(1, letter);
  }
  for (size_t stem = 0; vocabulary.tokens.size() < n_words; ++stem) {
    for (char letter = 'a'; letter <= 'z' && vocabulary.tokens.size() < n_words; ++letter) {
      vocabulary.merges.push_back(stems[stem] + ' ' + letter);
      stems.push_back(stems[stem] + letter);
      vocabulary.tokens.push_back(stems.back());
    }
  }
  vocabulary.types.assign(vocabulary.tokens.size(), 1);
  for (const std::string_view control : kControlTokens) {
    vocabulary.tokens.emplace_back(control);
    vocabulary.types.push_back(3);
  }
  vocabulary.bos = vocab_size - 3;
  vocabulary.eos = vocab_size - 1;
  return vocabulary;
}

}  // namespace plimsoll::random_model
