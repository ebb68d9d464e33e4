// The symbols of one word while BPE merges them, in O(n log n): a linked list of what is left, and
// a heap of the merges that are possible.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "text/merge_table.h"

namespace plimsoll::text {

class SymbolList {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  struct Symbol {
    uint32_t begin = 0;  // byte offset in the word
    uint32_t id = 0;
    uint32_t prev = kNone;
    uint32_t next = kNone;
    Merge with_next;
  };

  // Forgets the last word; its memory is kept for the next.
  void Start(uint32_t word_bytes) {
    symbols_.clear();
    heap_.clear();
    word_bytes_ = word_bytes;
  }

  void Append(uint32_t begin, uint32_t id) {
    const auto i = static_cast<uint32_t>(symbols_.size());
    if (i > 0) {
      symbols_.back().next = i;
    }
    symbols_.push_back({begin, id, i == 0 ? kNone : i - 1, kNone, {}});
  }

  // Always does the possible merge of the lowest rank, the leftmost of those with equal rank, until
  // there is none. `find(list, left, right)` says what two neighbours make.
  template <class FindMerge>
  void MergeAll(const FindMerge& find) {
    for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) {
      symbols_[i].with_next = find(*this, symbols_[i], symbols_[i + 1]);
      if (symbols_[i].with_next.rank != kNoRank) {
        heap_.push_back(Entry(symbols_[i].with_next.rank, i));
      }
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      const uint64_t top = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.pop_back();
      const auto left = static_cast<uint32_t>(top);
      // A symbol that was merged away, or has another neighbour by now, has another rank.
      if (symbols_[left].with_next.rank == static_cast<uint32_t>(top >> 32)) {
        MergeWithNext(left, find);
      }
    }
  }

  // Every symbol that is left, in order, with its end in the word.
  template <class Visit>
  void ForEach(const Visit& visit) const {
    for (uint32_t i = symbols_.empty() ? kNone : 0; i != kNone; i = symbols_[i].next) {
      visit(symbols_[i], End(symbols_[i]));
    }
  }

  [[nodiscard]] uint32_t End(const Symbol& symbol) const {
    return symbol.next == kNone ? word_bytes_ : symbols_[symbol.next].begin;
  }

 private:
  static uint64_t Entry(uint32_t rank, uint32_t left) { return uint64_t{rank} << 32 | left; }

  template <class FindMerge>
  void MergeWithNext(uint32_t i, const FindMerge& find) {
    Symbol& left = symbols_[i];
    Symbol& right = symbols_[left.next];
    left.id = left.with_next.id;
    left.next = right.next;
    right.with_next = {};
    if (left.next != kNone) {
      symbols_[left.next].prev = i;
    }
    Offer(i, find);
    if (left.prev != kNone) {
      Offer(left.prev, find);
    }
  }

  template <class FindMerge>
  void Offer(uint32_t i, const FindMerge& find) {
    Symbol& left = symbols_[i];
    left.with_next = left.next == kNone ? Merge{} : find(*this, left, symbols_[left.next]);
    if (left.with_next.rank != kNoRank) {
      heap_.push_back(Entry(left.with_next.rank, i));
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }

  uint32_t word_bytes_ = 0;
  std::vector<Symbol> symbols_;
  std::vector<uint64_t> heap_;
};

}  // namespace plimsoll::text
