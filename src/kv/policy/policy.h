// The interface behind which policies are: which keys and values of a sequence stay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kv/policy/eviction.h"

namespace plimsoll::kv {
class KvSequence;
}  // namespace plimsoll::kv

namespace plimsoll::kv::policy {

class SlotScorer;

// What goes when room is made: blocks of a sequence, by their index.
struct Choice {
  std::vector<uint32_t> gone;       // ascending
  std::vector<uint32_t> rewritten;  // of the others, those whose keys and values change first
};

// One for each sequence, with all the scratch that it needs. When room is made and how much,
// Eviction says; the policy says what goes, and the sequence takes it from there.
class Policy {
 public:
  virtual ~Policy() = default;

  // Of a sequence whose every slot is computed, n_gone blocks go. `choice` is empty, with room for
  // every block.
  virtual void Choose(const KvSequence& sequence, uint32_t n_gone, Choice& choice) = 0;
  // Changes what Choose just said it would; nobody else uses these blocks any more. The blocks that
  // go are still there.
  virtual void Rewrite(KvSequence& /*sequence*/, const Choice& /*choice*/) {}
  // Of n_blocks blocks, those that `rewritten` may name when n_gone go: [first, end).
  struct Range {
    size_t first = 0;
    size_t end = 0;
  };
  [[nodiscard]] virtual Range MayRewrite(size_t /*n_blocks*/, uint32_t /*n_gone*/) const {
    return {};
  }

  // Whether a patch prompt decides what goes next, and has not looked yet.
  [[nodiscard]] virtual bool WantsLook() const { return false; }
  // A block of a patch prompt is computed behind the sequence's newest: what it looks at counts
  // when something goes next, together with what others did since something went.
  virtual void Look(const KvSequence& /*sequence*/) {}
  // Nothing that looked since counts.
  virtual void ForgetLooks() {}
};

// Of a sequence with such blocks. `scorer`: null where the policy is not scored. That and `layout`
// outlive it.
[[nodiscard]] std::unique_ptr<Policy> MakePolicy(const Eviction& eviction,
                                                 const BlockLayout& layout, SlotScorer* scorer);

}  // namespace plimsoll::kv::policy
