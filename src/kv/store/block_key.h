// The name of a block by what was computed into it: all tokens up to its end, and whose they are.
// Who has the same tokens finds the same block, in whatever run; who has not, cannot guess it.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "base/ids.h"

namespace plimsoll::kv {

// A SHA-256, so that no two texts have one name, not even on purpose.
using BlockKey = std::array<std::byte, 32>;

struct BlockKeyHash {
  size_t operator()(const BlockKey& key) const noexcept {
    size_t hash = 0;
    std::memcpy(&hash, key.data(), sizeof hash);
    return hash;
  }
};

// What an owner's first block is behind. Owners share nothing.
[[nodiscard]] BlockKey RootKey(std::string_view owner);
// Of the block with these tokens behind the one with that key.
[[nodiscard]] BlockKey NextKey(const BlockKey& before, std::span<const TokenId> tokens);

// Of block i of the state of recurrent layers behind the block with that key.
[[nodiscard]] BlockKey StateKey(const BlockKey& behind, uint32_t i);

}  // namespace plimsoll::kv
