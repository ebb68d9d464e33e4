// The merges of a BPE vocabulary: which two symbols become which third, and which merge goes first.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace plimsoll::text {

inline constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

struct Merge {
  uint32_t rank = kNoRank;  // lower goes first; kNoRank: no such merge
  uint32_t id = 0;          // the symbol that it makes
};

// An open-addressing hash of pairs of symbols, 16 bytes a slot.
class MergeTable {
 public:
  explicit MergeTable(size_t n_merges = 0) : slots_(std::bit_ceil(n_merges * 4 / 3 + 2)) {}

  // For at most as many pairs as the constructor was told; the first of equal pairs stays.
  void Insert(uint32_t left, uint32_t right, Merge merge) {
    Slot& slot = slots_[SlotOf(Key(left, right))];
    if (slot.merge.rank == kNoRank) {
      slot = {Key(left, right), merge};
    }
  }

  [[nodiscard]] Merge Find(uint32_t left, uint32_t right) const {
    return slots_[SlotOf(Key(left, right))].merge;
  }

  [[nodiscard]] uint64_t Bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };

  static uint64_t Key(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

  [[nodiscard]] size_t SlotOf(uint64_t key) const {
    // The finalizer of MurmurHash3 (Austin Appleby, public domain).
    uint64_t hash = key;
    hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDULL;
    hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53ULL;
    const size_t mask = slots_.size() - 1;
    size_t slot = (hash ^ hash >> 33) & mask;
    while (slots_[slot].merge.rank != kNoRank && slots_[slot].key != key) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace plimsoll::text
