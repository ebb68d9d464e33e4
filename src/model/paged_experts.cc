#include "model/paged_experts.h"

#include <algorithm>

namespace plimsoll::model {
namespace {

// Of a layer. The disk is idle for little more than one page between two layers, and each guess
// takes the frame of a page that may be wanted.
constexpr size_t kGuesses = 2;

}  // namespace

memory::policy::PageLayout ExpertPages(std::span<const ExpertLayer> layers) {
  std::vector<uint32_t> n_pages;
  for (const ExpertLayer& layer : layers) {
    n_pages.push_back(layer.n_experts);
  }
  return memory::policy::PageLayout(n_pages);
}

PagedExperts::PagedExperts(memory::Pager& pager, const memory::policy::PageLayout& layout,
                           std::vector<ExpertLayer> layers)
    : pager_(pager), layout_(layout), layers_(std::move(layers)) {
  uint32_t most = 0;
  for (const ExpertLayer& layer : layers_) {
    most = std::max(most, layer.n_experts);
  }
  wanted_.reserve(most);
}

memory::PageRound PagedExperts::Want(const Step& step, uint32_t layer_idx,
                                     memory::WantOrder order) {
  const Routing& routing = step.scratch.routing;
  const size_t n_pairs = routing.active_begin[routing.n_active];
  pager_.Visit({.layer = layer_idx,
                .step = step.pass,
                .phase = step.phase(),
                .n_tokens = static_cast<uint32_t>(step.n()),
                .experts = routing.chosen.first(n_pairs),
                .probabilities = {},
                .near_experts = {},
                .near_probabilities = {}});
  wanted_.clear();
  for (const uint32_t expert : routing.active.first(routing.n_active)) {
    wanted_.push_back(layout_.page(layer_idx, expert));
  }
  return pager_.Want(wanted_, step.phase(), order);
}

void PagedExperts::Prefetch(uint32_t layer_idx, std::span<const uint32_t> likeliest_first) {
  pager_.DropPrefetches();
  wanted_.clear();
  for (const uint32_t expert : likeliest_first) {
    wanted_.push_back(layout_.page(layer_idx, expert));
  }
  pager_.Prefetch(wanted_, kGuesses);
}

ExpertMatrices PagedExperts::MatricesOf(uint32_t layer_idx, uint32_t expert) const {
  const memory::PageId page = layout_.page(layer_idx, expert);
  const auto matrix = [&](Projection projection) {
    const auto part = static_cast<uint32_t>(projection);
    tensor::Matrix m = layers_[layer_idx].projections[part].matrix;
    m.data = pager_.Data(page, part);
    return m;
  };
  return {matrix(Projection::kGate), matrix(Projection::kUp), matrix(Projection::kDown)};
}

}  // namespace plimsoll::model
