// A trace as a policy sees it: one visit a layer and pass, each page at most once in it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/policy/policy.h"
#include "memory/trace/trace.h"

namespace plimsoll::memory::replay {

enum class PrefillAs : uint8_t {
  kChunk,   // as recorded: all tokens of a chunk at once, layer by layer
  kTokens,  // as if each token of the prompt had been decoded
  kNothing,
};

class ReferenceStream {
 public:
  ReferenceStream(const trace::Trace& trace, PrefillAs prefill);

  [[nodiscard]] const policy::PageLayout& layout() const { return layout_; }
  [[nodiscard]] size_t size() const { return visits_.size(); }
  [[nodiscard]] policy::LayerVisit visit(size_t i) const;
  // The visit's pages, each once, in the order in which they were first chosen.
  [[nodiscard]] std::span<const policy::PageId> pages(size_t i) const {
    return std::span(pages_).subspan(visits_[i].first_page, visits_[i].n_pages);
  }
  // Where they stand among those of all visits.
  [[nodiscard]] size_t first_page(size_t i) const { return visits_[i].first_page; }

  [[nodiscard]] uint64_t n_references() const { return pages_.size(); }
  [[nodiscard]] uint32_t n_distinct() const { return n_distinct_; }
  [[nodiscard]] uint64_t n_steps() const { return n_steps_; }
  // The most pages that one layer uses in one pass of decoding: below so many slots nothing runs.
  [[nodiscard]] uint32_t widest_decode() const { return widest_decode_; }
  // The most references of one pass of decoding: with fewer slots a global LRU never hits.
  [[nodiscard]] uint32_t decode_cycle() const { return decode_cycle_; }

 private:
  struct Visit {
    uint32_t layer;
    uint64_t step;
    policy::Phase phase;
    uint32_t n_tokens;
    size_t first_expert;
    size_t first_near;
    size_t first_page;
    uint32_t n_pages;
  };

  void Append(const trace::Trace& trace, const trace::Visit& visit, uint32_t first_token,
              uint32_t n_tokens, uint64_t step, policy::Phase phase);
  void AppendByToken(const trace::Trace& trace, std::span<const trace::Visit> pass);
  void Count();

  policy::PageLayout layout_;
  std::vector<Visit> visits_;
  std::vector<uint32_t> experts_;
  std::vector<float> probabilities_;
  std::vector<uint32_t> near_experts_;
  std::vector<float> near_probabilities_;
  std::vector<policy::PageId> pages_;
  uint64_t n_steps_ = 0;
  uint32_t n_distinct_ = 0;
  uint32_t widest_decode_ = 0;
  uint32_t decode_cycle_ = 0;
};

}  // namespace plimsoll::memory::replay
