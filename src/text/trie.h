// A trie over bytes, built once: the longest string of a set, or every one, that a text starts
// with.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace plimsoll::text {

// Immutable and thread-safe once built.
class Trie {
 public:
  struct Entry {
    std::string_view text;  // not empty
    TokenId token = 0;
  };
  struct Match {
    uint32_t length = 0;
    TokenId token = 0;
  };

  Trie() = default;
  // Of entries with equal texts the first stays. The texts need not outlive the constructor.
  explicit Trie(std::vector<Entry> entries);

  [[nodiscard]] bool empty() const { return nodes_.size() <= 1; }

  [[nodiscard]] std::optional<Match> Longest(std::string_view text) const {
    std::optional<Match> longest;
    ForEachPrefix(text, [&](const Match& match) { longest = match; });
    return longest;
  }

  // Visits the matches at the start of `text`, shorter ones first.
  template <class Visit>
  void ForEachPrefix(std::string_view text, const Visit& visit) const {
    if (text.empty() || empty()) {
      return;
    }
    uint32_t node = roots_[static_cast<uint8_t>(text[0])];
    for (uint32_t length = 1; node != 0; ++length) {
      if (nodes_[node].token >= 0) {
        visit(Match{length, nodes_[node].token});
      }
      if (length == text.size()) {
        break;
      }
      node = Child(nodes_[node], static_cast<uint8_t>(text[length]));
    }
  }

  // Whether any entry starts with this byte.
  [[nodiscard]] bool Starts(char byte) const { return roots_[static_cast<uint8_t>(byte)] != 0; }

  [[nodiscard]] uint64_t Bytes() const { return sizeof(*this) + nodes_.capacity() * sizeof(Node); }

 private:
  struct Node {
    uint32_t first_child = 0;  // children lie side by side, in order of their bytes
    TokenId token = -1;
    uint16_t n_children = 0;
    uint8_t byte = 0;
  };

  [[nodiscard]] uint32_t Child(const Node& node, uint8_t byte) const {
    uint32_t low = node.first_child;
    uint32_t high = low + node.n_children;
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (nodes_[middle].byte < byte) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < node.first_child + node.n_children && nodes_[low].byte == byte ? low : 0;
  }

  std::vector<Node> nodes_;            // node 0 is the root
  std::array<uint32_t, 256> roots_{};  // the root's child for each byte, or 0
};

}  // namespace plimsoll::text
