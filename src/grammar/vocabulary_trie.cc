#include "grammar/vocabulary_trie.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace plimsoll::grammar {
namespace {

constexpr size_t kLongestToken = 4096;

// What a token says; "" for one that a grammar never allows.
std::string TextOf(const text::Tokenizer& tokenizer, TokenId token) {
  std::string text(tokenizer.Piece(token, false));
  if (text.find(kControlByte) != std::string::npos) {
    return "";
  }
  if (text.empty()) {
    text = tokenizer.Piece(token, true);
    if (!text.empty()) {
      text.insert(text.begin(), kControlByte);
    }
  }
  return text.size() <= kLongestToken ? text : "";
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

}  // namespace

// Vectors have their whole room before they are filled: what it takes is promised
// (sampling/constrained_memory.h), and growing would take twice that.
VocabularyTrie::VocabularyTrie(const text::Tokenizer& tokenizer) {
  const text::VocabularySpec& spec = tokenizer.spec();
  drops_first_space_ = spec.model != text::TokenizerModel::kByteBpe && spec.add_space_prefix;
  ReadTokens(tokenizer);
  std::ranges::sort(tokens_, [this](TokenId a, TokenId b) {
    return std::pair(Bytes(a), a) < std::pair(Bytes(b), b);
  });
  MakeNodes();
}

void VocabularyTrie::ReadTokens(const text::Tokenizer& tokenizer) {
  size_t n_bytes = 0;
  for (size_t i = 0; i < tokenizer.size(); ++i) {
    n_bytes += TextOf(tokenizer, static_cast<TokenId>(i)).size();
  }
  text_.reserve(n_bytes);
  offsets_.reserve(tokenizer.size() + 1);
  tokens_.reserve(tokenizer.size());
  for (size_t i = 0; i < tokenizer.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    offsets_.push_back(static_cast<uint32_t>(text_.size()));
    if (tokenizer.IsEndOfGeneration(token)) {
      end_tokens_.push_back(token);
      continue;
    }
    const std::string text = TextOf(tokenizer, token);
    if (!text.empty()) {
      text_ += text;
      tokens_.push_back(token);
    }
  }
  offsets_.push_back(static_cast<uint32_t>(text_.size()));
}

void VocabularyTrie::MakeNodes() {
  size_t n_nodes = 1;  // the one behind the last
  std::string_view last;
  for (const TokenId token : tokens_) {
    n_nodes += Bytes(token).size() - CommonPrefix(last, Bytes(token));
    last = Bytes(token);
  }
  nodes_.reserve(n_nodes);
  last = {};
  std::vector<uint32_t> path;  // the nodes of the last token
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    const std::string_view bytes = Bytes(tokens_[i]);
    const size_t common = CommonPrefix(last, bytes);
    for (; path.size() > common; path.pop_back()) {
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
    }
    for (size_t k = common; k < bytes.size(); ++k) {
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({.end = 0,
                        .first_token = i,
                        .depth = static_cast<uint16_t>(k + 1),
                        .byte = static_cast<uint8_t>(bytes[k])});
    }
    longest_ = std::max(longest_, static_cast<uint32_t>(bytes.size()));
    last = bytes;
  }
  const auto n = static_cast<uint32_t>(nodes_.size());
  for (const uint32_t node : path) {
    nodes_[node].end = n;
  }
  nodes_.push_back({.end = n + 1, .first_token = static_cast<uint32_t>(tokens_.size())});
}

bool VocabularyTrie::IsEnd(TokenId token) const {
  return std::ranges::binary_search(end_tokens_, token);
}

std::string_view VocabularyTrie::Bytes(TokenId token) const {
  if (token < 0 || static_cast<size_t>(token) >= n_tokens()) {
    return {};
  }
  const auto i = static_cast<size_t>(token);
  return std::string_view(text_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

uint64_t VocabularyTrie::MemoryBytes() const {
  return nodes_.capacity() * sizeof(Node) +
         (tokens_.capacity() + end_tokens_.capacity()) * sizeof(TokenId) + text_.capacity() +
         offsets_.capacity() * sizeof(uint32_t);
}

}  // namespace plimsoll::grammar
