#include "text/trie.h"

#include <algorithm>

namespace plimsoll::text {

Trie::Trie(std::vector<Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.text < b.text; });
  const auto same = [](const Entry& a, const Entry& b) { return a.text == b.text; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());

  // Breadth first, so that the children of a node lie side by side: each node stands for the
  // entries [begin, end), which agree in their first `depth` bytes.
  struct Span {
    size_t begin;
    size_t end;
    size_t depth;
  };
  nodes_.push_back({});
  std::vector<Span> spans = {{0, entries.size(), 0}};
  for (size_t i = 0; i < nodes_.size(); ++i) {
    auto [begin, end, depth] = spans[i];
    nodes_[i].first_child = static_cast<uint32_t>(nodes_.size());
    if (begin < end && entries[begin].text.size() == depth) {
      nodes_[i].token = entries[begin].token;
      ++begin;
    }
    while (begin < end) {
      const char byte = entries[begin].text[depth];
      size_t group = begin;
      while (group < end && entries[group].text[depth] == byte) {
        ++group;
      }
      nodes_.push_back({0, -1, 0, static_cast<uint8_t>(byte)});
      spans.push_back({begin, group, depth + 1});
      ++nodes_[i].n_children;
      begin = group;
    }
  }
  nodes_.shrink_to_fit();
  for (uint32_t i = 0; i < nodes_[0].n_children; ++i) {
    const uint32_t child = nodes_[0].first_child + i;
    roots_[nodes_[child].byte] = child;
  }
}

}  // namespace plimsoll::text
