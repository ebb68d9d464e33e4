// What to evict. A policy is told what the routers choose and answers which page should lose its
// slot; it never sees a file, a clock or a thread, so it is tested in microseconds.
//
// The pager's side of the contract, for every layer of every pass:
//   1. Visit(): the router's result, before anything is admitted for it;
//   2. for each page that is missing: if no slot is free, ChooseVictim(), then Evict() of that
//   page;
//      then Admit() of the missing one;
// and Evict() whenever a page loses its slot for another reason (a failed read, an unloaded model).
// Pins are the pager's: a page in use is not in the set of candidates.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace plimsoll::memory::policy {

// A page of the pool that the policy looks after: 0 ... n_pages() - 1, layer by layer.
using PageId = Id<struct PageTag>;

// Which pages are which layer's.
class PageLayout {
 public:
  // Layer l has n_pages[l] pages (its experts); layers without experts have none.
  explicit PageLayout(std::span<const uint32_t> n_pages);

  [[nodiscard]] uint32_t n_layers() const { return static_cast<uint32_t>(begin_.size()) - 1; }
  [[nodiscard]] uint32_t n_pages() const { return begin_.back(); }
  [[nodiscard]] uint32_t n_pages(uint32_t layer) const { return begin_[layer + 1] - begin_[layer]; }
  [[nodiscard]] uint32_t begin(uint32_t layer) const { return begin_[layer]; }
  [[nodiscard]] uint32_t layer_of(PageId page) const { return layer_of_[page.value]; }
  [[nodiscard]] PageId page(uint32_t layer, uint32_t expert) const {
    return {begin_[layer] + expert};
  }

 private:
  std::vector<uint32_t> begin_;     // [n_layers + 1]
  std::vector<uint32_t> layer_of_;  // [n_pages]
};

// A view of a set of pages, one bit each.
class PageSet {
 public:
  explicit PageSet(std::span<const uint64_t> words) : words_(words) {}

  [[nodiscard]] bool Contains(PageId page) const {
    return ((words_[page.value / 64] >> (page.value % 64)) & 1) != 0;
  }
  // Calls f(PageId) for each, in ascending order.
  template <class F>
  void ForEach(const F& f) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        f(PageId{static_cast<uint32_t>(i * 64 + static_cast<size_t>(std::countr_zero(word)))});
      }
    }
  }
  // The same for pages [begin, end).
  template <class F>
  void ForEachIn(uint32_t begin, uint32_t end, const F& f) const {
    for (uint32_t at = begin; at < end;) {
      const uint32_t in_word = at % 64;
      uint64_t word = words_[at / 64] >> in_word;
      const uint32_t n = std::min(64 - in_word, end - at);
      if (n < 64) {
        word &= (uint64_t{1} << n) - 1;
      }
      for (; word != 0; word &= word - 1) {
        f(PageId{at + static_cast<uint32_t>(std::countr_zero(word))});
      }
      at += n;
    }
  }

 private:
  std::span<const uint64_t> words_;
};

enum class Phase : uint8_t { kDecode, kPrefill };

// One layer of one pass through the model: what its router said, as the router's own arrays.
struct LayerVisit {
  uint32_t layer = 0;
  uint64_t step = 0;  // the pass: the same for all its layers, and never falling
  Phase phase = Phase::kDecode;
  // In prefill consecutive tokens of one sequence; in decode one token of each sequence.
  uint32_t n_tokens = 1;
  // The chosen experts, by their index in the layer: [n_tokens][experts of a token].
  std::span<const uint32_t> experts;
  std::span<const float> probabilities;  // of those, the same shape; or empty
  // What was ranked behind them: [n_tokens][near-misses of a token]; or empty.
  std::span<const uint32_t> near_experts;
  std::span<const float> near_probabilities;

  [[nodiscard]] size_t n_active() const { return n_tokens == 0 ? 0 : experts.size() / n_tokens; }
  [[nodiscard]] std::span<const uint32_t> experts_of(uint32_t token) const {
    return experts.subspan(token * n_active(), n_active());
  }
};

// Not thread-safe. Allocates when it is made and never after.
class Policy {
 public:
  Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;
  virtual ~Policy() = default;

  virtual void Visit(const LayerVisit& visit) = 0;
  virtual void Admit(PageId page) = 0;
  virtual void Evict(PageId page) = 0;
  // Which of `candidates` (resident, of the right size, not pinned) makes room for `incoming` or
  // for a smaller capacity; nothing only when there is no candidate. It keeps its slot until
  // Evict().
  [[nodiscard]] virtual std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                           const PageSet& candidates) = 0;
  // Slots that there are from now on. When they have become fewer, the pager goes on to evict
  // victims chosen for no page until the rest fits.
  virtual void SetCapacity(uint32_t n_slots) = 0;

  // A hint from an earlier run: how popular each page was, any unit, [n_pages]. It says what to
  // keep while nothing better is known and fades as the routers speak.
  virtual void Warm(std::span<const float> /*popularity*/) {}
};

}  // namespace plimsoll::memory::policy
