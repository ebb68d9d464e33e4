// For tests of what a sequence keeps: each token's key says which token it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kv/kv_sequence.h"

namespace plimsoll::kv {

// One head whose keys have room for a number.
inline BlockLayout MarkedLayout() {
  return BlockLayout({{.n_kv_heads = 1, .head_dim_k = 4, .head_dim_v = 4, .n_heads = 2}});
}

inline std::byte* MarkOf(const KvSequence& sequence, uint32_t slot) {
  return sequence.MutableBlock(slot) + slot % kBlockTokens * sequence.layout().k_stride(0);
}

// Of the tokens from `first` on.
inline void Mark(const KvSequence& sequence, uint32_t first) {
  for (uint32_t token = first; token < sequence.n_tokens(); ++token) {
    std::memcpy(MarkOf(sequence, sequence.SlotOf(token)), &token, sizeof token);
  }
}

inline uint32_t TokenAt(const KvSequence& sequence, uint32_t slot) {
  uint32_t token = 0;
  std::memcpy(&token, MarkOf(sequence, slot), sizeof token);
  return token;
}

inline std::vector<uint32_t> TokensOf(const KvSequence& sequence) {
  std::vector<uint32_t> tokens;
  for (uint32_t slot = 0; slot < sequence.positions().size(); ++slot) {
    tokens.push_back(TokenAt(sequence, slot));
  }
  return tokens;
}

// What is left of n tokens, plainly: whenever `budget` blocks are full, the two blocks' worth of
// tokens between the first block and the newest that are worth least go, of equals the later.
template <class Worth>
std::vector<uint32_t> BestTokens(uint32_t n, uint32_t budget, const Worth& worth) {
  std::vector<uint32_t> tokens;
  for (uint32_t token = 0; token < n; ++token) {
    if (tokens.size() == budget * kBlockTokens) {
      const auto begin = tokens.begin() + kBlockTokens;
      const auto end = tokens.end() - kBlockTokens;
      std::sort(begin, end, [&](uint32_t a, uint32_t b) {
        return worth(a) != worth(b) ? worth(a) > worth(b) : a > b;
      });
      tokens.erase(end - 2 * kBlockTokens, end);
      std::sort(tokens.begin(), tokens.end());
    }
    tokens.push_back(token);
  }
  return tokens;
}

}  // namespace plimsoll::kv
