// The experts of a model as pages: what lies where in a page, and how a step comes by them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "memory/pager.h"
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
  // The pager has the pages of ExpertPages(layers), `layout` among them, and outlives this.
  PagedExperts(memory::Pager& pager, const memory::policy::PageLayout& layout,
               std::vector<ExpertLayer> layers);

  // Tells the policy what the layer's router chose, and wants the experts that are active.
  [[nodiscard]] memory::PageRound Want(const Step& step, uint32_t layer_idx,
                                       memory::WantOrder order);
  // Of an expert that the round has given out.
  [[nodiscard]] ExpertMatrices MatricesOf(uint32_t layer_idx, uint32_t expert) const;
  // Of a layer to come: has the likeliest of the experts that are missing read while the disk has
  // nothing else to do, and forgets the guesses of layers before.
  void Prefetch(uint32_t layer_idx, std::span<const uint32_t> likeliest_first);
  // Whether anything is to be guessed.
  void set_prefetch(bool prefetch) { prefetch_ = prefetch; }
  [[nodiscard]] bool prefetch() const { return prefetch_; }

 private:
  memory::Pager& pager_;
  const memory::policy::PageLayout& layout_;
  std::vector<ExpertLayer> layers_;
  std::vector<memory::PageId> wanted_;
  bool prefetch_ = false;
};

}  // namespace plimsoll::model
