// Keys and values of sequences that have ended, for those that begin alike: the next turn of a
// conversation, a system prompt that many share. They stay for as long as nobody needs the memory.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "kv/kv_sequence.h"

namespace plimsoll::engine::batch {

class FinishedSequences {
 public:
  // `kv` has the keys and values of `tokens`. Replaces those of which it is the continuation.
  void Add(std::vector<TokenId> tokens, std::unique_ptr<kv::KvSequence> kv);

  struct Match {
    const kv::KvSequence* kv = nullptr;  // valid until the next call
    uint32_t n_tokens = 0;               // of the beginning that both have
  };
  // The one with the longest beginning in common; it counts as used now.
  [[nodiscard]] Match Find(std::span<const TokenId> tokens);
  // Forgets the one that was used longest ago; false when there is none.
  bool DropOldest();
  [[nodiscard]] size_t size() const { return list_.size(); }

 private:
  struct Entry {
    std::vector<TokenId> tokens;
    std::unique_ptr<kv::KvSequence> kv;
  };
  std::list<Entry> list_;  // least recently used first
};

}  // namespace plimsoll::engine::batch
