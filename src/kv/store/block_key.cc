#include "kv/store/block_key.h"

#include "base/bytes.h"
#include "io/sha256.h"

namespace plimsoll::kv {

BlockKey RootKey(std::string_view owner) {
  io::Sha256 hash;
  hash.Add(AsBytes("plimsoll block key 1;"));
  hash.Add(AsBytes(owner));
  return hash.Take();
}

BlockKey NextKey(const BlockKey& before, std::span<const TokenId> tokens) {
  io::Sha256 hash;
  hash.Add(before);
  hash.Add(std::as_bytes(tokens));
  return hash.Take();
}

// No block has such tokens.
BlockKey StateKey(const BlockKey& behind, uint32_t i) {
  const TokenId tokens[] = {-1, static_cast<TokenId>(i)};
  return NextKey(behind, tokens);
}

}  // namespace plimsoll::kv
