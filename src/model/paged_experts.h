// The experts of a model as pages: what lies where in a page, and how a step comes by them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memory/pager.h"
#include "memory/policy/guess_gate.h"
#include "memory/policy/layer_pairs.h"
#include "memory/trace/routing_observer.h"
#include "model/expert_layout.h"
#include "model/scratch.h"
#include "model/step.h"

namespace plimsoll::model {

// The pages that a model's experts are: layer by layer, expert by expert; part p of a page is its
// projection p.
[[nodiscard]] memory::policy::PageLayout ExpertPages(std::span<const ExpertLayer> layers);

// Not thread-safe. Allocates when it is made and never after.
class PagedExperts {
 public:
  // The pager has the pages of ExpertPages(layers), which `layout` is; both outlive this.
  PagedExperts(memory::Pager& pager, const memory::policy::PageLayout& layout,
               std::vector<ExpertLayer> layers, memory::policy::GuessBy guess_by);

  // Tells the policy what the layer's router chose, and wants the experts that are active.
  [[nodiscard]] memory::PageRound Want(const Step& step, uint32_t layer_idx,
                                       memory::WantOrder order);
  // `observer`, which outlives this, hears what the policy is told; null: nobody does.
  void Observe(memory::trace::RoutingObserver* observer) { observer_ = observer; }
  // Of an expert that the round has given out.
  [[nodiscard]] ExpertMatrices MatricesOf(uint32_t layer_idx, uint32_t expert) const;

  [[nodiscard]] memory::policy::GuessBy guess_by() const { return guess_by_; }
  // Of a layer to come: has those of its likely experts that are missing, and worth it, read while
  // the disk has nothing else to do. Forgets the guesses at layers before.
  void Prefetch(uint32_t layer_idx, std::span<const uint32_t> likeliest_first);
  // The same for the layer behind that whose experts were wanted last, from pairs of experts.
  void PrefetchPairs(uint32_t layer_idx, uint32_t n_active);
  [[nodiscard]] const memory::policy::GuessGate::Stats& guess_stats() const {
    return gate_.stats();
  }

 private:
  memory::Pager& pager_;
  const memory::policy::PageLayout& layout_;
  std::vector<ExpertLayer> layers_;
  std::vector<memory::PageId> wanted_;
  memory::trace::RoutingObserver* observer_ = nullptr;
  memory::policy::GuessBy guess_by_;
  memory::policy::GuessGate gate_;
  std::optional<memory::policy::LayerPairs> pairs_;  // with GuessBy::kPairs
  std::vector<float> expected_;                      // [most experts of a layer]
  std::vector<uint32_t> ranked_;                     // the same
};

}  // namespace plimsoll::model
