// A vocabulary's tokens by their bytes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "text/tokenizer.h"

namespace plimsoll::grammar {

// Stands before the spelling of a control token, in the trie and in grammars: text never has this
// byte, so that a grammar has a control token only where it means it.
inline constexpr char kControlByte = '\xFF';

// Made once for a tokenizer, of which it keeps nothing; 150,000 tokens take some 8 MiB and a tenth
// of a second. At most sampling::ConstrainedMemory::vocabulary. Immutable and thread-safe.
class VocabularyTrie {
 public:
  explicit VocabularyTrie(const text::Tokenizer& tokenizer);

  // In preorder: a node's subtree are the nodes behind it, up to `end`.
  struct Node {
    uint32_t end = 0;
    uint32_t first_token = 0;  // of tokens(); the node's own end where the next node's begin
    uint16_t depth = 0;        // bytes from the root, its own included
    uint8_t byte = 0;
  };
  // Without the root; behind the last one there is another, which belongs to no token.
  [[nodiscard]] std::span<const Node> nodes() const { return nodes_; }
  [[nodiscard]] uint32_t n_nodes() const { return static_cast<uint32_t>(nodes_.size() - 1); }
  // In order of their bytes. Neither those that end a generation nor those that are no UTF-8 in any
  // company.
  [[nodiscard]] std::span<const TokenId> tokens() const { return tokens_; }
  [[nodiscard]] std::span<const TokenId> end_tokens() const { return end_tokens_; }
  [[nodiscard]] bool IsEnd(TokenId token) const;
  // "" for tokens that are not in it.
  [[nodiscard]] std::string_view Bytes(TokenId token) const;
  [[nodiscard]] size_t n_tokens() const { return offsets_.size() - 1; }  // of the vocabulary
  [[nodiscard]] uint32_t longest() const { return longest_; }            // in bytes
  // At the start of a text a token's leading space is left out (Tokenizer::PieceInText).
  [[nodiscard]] bool drops_first_space() const { return drops_first_space_; }
  [[nodiscard]] uint64_t MemoryBytes() const;

 private:
  void ReadTokens(const text::Tokenizer& tokenizer);
  void MakeNodes();

  std::vector<Node> nodes_;
  std::vector<TokenId> tokens_;
  std::vector<TokenId> end_tokens_;  // ascending
  std::string text_;
  std::vector<uint32_t> offsets_;  // of tokens in text_, by id, and one more
  uint32_t longest_ = 0;
  bool drops_first_space_ = false;
};

}  // namespace plimsoll::grammar
