// Small integers that name things. Each is its own type, so that a block is never used as a layer.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace plimsoll {

template <class Tag, class Rep = uint32_t>
struct Id {
  Rep value = 0;

  friend constexpr auto operator<=>(const Id&, const Id&) = default;
};

using ExpertId = Id<struct ExpertTag>;
using BlockId = Id<struct BlockTag>;  // a KV block in its pool
using SequenceId = Id<struct SequenceTag>;

// Tokens stay a plain integer: they are indices into the vocabulary and appear in every interface
// to the outside.
using TokenId = int32_t;

}  // namespace plimsoll

template <class Tag, class Rep>
struct std::hash<plimsoll::Id<Tag, Rep>> {
  size_t operator()(const plimsoll::Id<Tag, Rep>& id) const noexcept {
    return std::hash<Rep>{}(id.value);
  }
};
