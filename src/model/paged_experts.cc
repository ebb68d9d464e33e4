#include "model/paged_experts.h"

#include <algorithm>

#include "model/top_k.h"

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
                           std::vector<ExpertLayer> layers, memory::policy::GuessBy guess_by)
    : pager_(pager),
      layout_(layout),
      layers_(std::move(layers)),
      guess_by_(guess_by),
      gate_(layout) {
  uint32_t most = 0;
  for (const ExpertLayer& layer : layers_) {
    most = std::max(most, layer.n_experts);
  }
  wanted_.reserve(most);
  if (guess_by_ == memory::policy::GuessBy::kPairs) {
    pairs_.emplace(layout_);
    expected_.resize(most);
    ranked_.resize(most);
  }
}

memory::PageRound PagedExperts::Want(const Step& step, uint32_t layer_idx,
                                     memory::WantOrder order) {
  const Routing& routing = step.scratch.routing;
  const size_t n_pairs = routing.active_begin[routing.n_active];
  const memory::policy::LayerVisit visit = {.layer = layer_idx,
                                            .step = step.pass,
                                            .phase = step.phase(),
                                            .n_tokens = static_cast<uint32_t>(step.n()),
                                            .experts = routing.chosen.first(n_pairs),
                                            .probabilities = {},
                                            .near_experts = {},
                                            .near_probabilities = {}};
  pager_.Visit(visit);
  gate_.Visit(visit);
  if (observer_ != nullptr) {
    observer_->OnVisit(visit);
  }
  if (pairs_) {
    pairs_->Visit(visit);
  }
  wanted_.clear();
  for (const uint32_t expert : routing.active.first(routing.n_active)) {
    wanted_.push_back(layout_.page(layer_idx, expert));
  }
  return pager_.Want(wanted_, step.phase(), order);
}

void PagedExperts::Prefetch(uint32_t layer_idx, std::span<const uint32_t> likeliest_first) {
  pager_.DropPrefetches();
  const auto worth = gate_.Choose(layer_idx, likeliest_first,
                                  [this](memory::PageId page) { return pager_.IsAbsent(page); });
  pager_.Prefetch(worth, kGuesses);
}

void PagedExperts::PrefetchPairs(uint32_t layer_idx, uint32_t n_active) {
  const auto expected = std::span(expected_).first(layout_.n_pages(layer_idx));
  pairs_->Expect(expected);
  const auto ranked = std::span(ranked_).first(std::min<size_t>(n_active, expected.size()));
  ChooseTop(expected, ranked);
  std::ranges::sort(ranked, [&](uint32_t a, uint32_t b) {
    return expected[a] != expected[b] ? expected[a] > expected[b] : a < b;
  });
  Prefetch(layer_idx, ranked);
}

ExpertMatrices PagedExperts::MatricesOf(uint32_t layer_idx, uint32_t expert) const {
  const memory::PageId page = layout_.page(layer_idx, expert);
  const auto matrix = [&](Projection projection) {
    const auto part = static_cast<uint32_t>(projection);
    tensor::Matrix m = layers_[layer_idx].projections[part].matrix;
    m.data = pager_.Data(page, part);
    if (m.scale != nullptr) {
      m.scale += expert;
    }
    return m;
  };
  return {matrix(Projection::kGate), matrix(Projection::kUp), matrix(Projection::kDown)};
}

}  // namespace plimsoll::model
