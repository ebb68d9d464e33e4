// The part of a tokenizer that knows its vocabulary's algorithm: text without special tokens to
// ids.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// Immutable and thread-safe.
class Model {
 public:
  virtual ~Model() = default;

  // Appends the ids of `text`, any bytes. `space_prefix` asks for the space that SentencePiece
  // models set before a text.
  virtual void Encode(std::string_view text, bool space_prefix,
                      std::vector<TokenId>& out) const = 0;
  [[nodiscard]] virtual uint64_t Bytes() const = 0;
};

// What the models are given: a checked specification, with a type for every token. Its tokens and
// scores must outlive the model and stay as they are; everything else in it may go.
[[nodiscard]] Result<std::unique_ptr<const Model>> MakeByteBpe(const VocabularySpec& spec);
[[nodiscard]] Result<std::unique_ptr<const Model>> MakeSentencePieceBpe(const VocabularySpec& spec);
[[nodiscard]] Result<std::unique_ptr<const Model>> MakeUnigram(const VocabularySpec& spec);

// U+2581, which SentencePiece vocabularies write for a space.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

// `text` with spaces written as the model writes them, and one more in front when `prefix`.
[[nodiscard]] std::string WithSpaceMarks(std::string_view text, bool prefix);

// The tokens that stand for single bytes.
class ByteTokens {
 public:
  explicit ByteTokens(const VocabularySpec& spec);

  [[nodiscard]] bool complete() const { return n_ == 256; }

  // Appends the tokens of `bytes`; when one is missing, the unknown token instead of them all, or
  // nothing where there is none.
  void Append(std::string_view bytes, std::vector<TokenId>& out) const;

 private:
  std::array<TokenId, 256> tokens_;
  int n_ = 0;
  std::optional<TokenId> unknown_;
};

// Symbols are 32-bit; a longer word or text is cut there, at any byte.
inline constexpr size_t kMaxRunBytes = size_t{1} << 30;

// Whether text may turn into a token of this type: control tokens come from special spellings only.
[[nodiscard]] constexpr bool IsTextType(TokenType type) {
  return type == TokenType::kNormal || type == TokenType::kUserDefined ||
         type == TokenType::kUnused;
}

// The byte of a byte token's spelling, <0x00> to <0xFF> digits in either case; nullopt for anything
// else.
[[nodiscard]] std::optional<uint8_t> ParseByteToken(std::string_view spelling);

// One entry of `merges` as its two parts; nullopt when it is not two parts with a space between.
struct MergeParts {
  std::string_view left;
  std::string_view right;
};
[[nodiscard]] std::optional<MergeParts> ParseMerge(std::string_view merge);

}  // namespace plimsoll::text
