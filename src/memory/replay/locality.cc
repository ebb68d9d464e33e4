#include "memory/replay/locality.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace plimsoll::memory::replay {
namespace {

using policy::PageId;
using policy::Phase;

struct Tally {
  std::vector<uint64_t> counts;  // [n_experts]
  std::vector<uint64_t> last;    // [n_experts]: the visit that used the expert last, from 1
  uint64_t n_visits = 0;
  uint64_t n_following = 0;  // references that have a visit before them
  uint64_t n_shared = 0;
};

double Ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

LayerLocality Summarise(uint32_t layer, const Tally& tally) {
  LayerLocality locality;
  locality.layer = layer;
  locality.n_experts = static_cast<uint32_t>(tally.counts.size());
  std::vector<uint64_t> sorted = tally.counts;
  std::ranges::sort(sorted, std::greater());
  const auto sum = [&](size_t n) {
    return std::accumulate(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(n), uint64_t{0});
  };
  locality.n_references = sum(sorted.size());
  locality.n_used = static_cast<uint32_t>(std::ranges::count_if(sorted, std::identity()));
  locality.shared_with_last = Ratio(tally.n_shared, tally.n_following);
  locality.busiest_quarter = Ratio(sum((sorted.size() + 3) / 4), locality.n_references);
  return locality;
}

}  // namespace

std::vector<LayerLocality> MeasureLocality(const ReferenceStream& stream) {
  const auto& layout = stream.layout();
  std::vector<Tally> tallies(layout.n_layers());
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    tallies[layer].counts.assign(layout.n_pages(layer), 0);
    tallies[layer].last.assign(layout.n_pages(layer), 0);
  }
  for (size_t i = 0; i < stream.size(); ++i) {
    const auto visit = stream.visit(i);
    if (visit.phase != Phase::kDecode) {
      continue;
    }
    Tally& tally = tallies[visit.layer];
    const uint64_t now = ++tally.n_visits;
    for (const PageId page : stream.pages(i)) {
      const uint32_t expert = page.value - layout.begin(visit.layer);
      ++tally.counts[expert];
      tally.n_following += now > 1 ? 1U : 0U;
      tally.n_shared += now > 1 && tally.last[expert] == now - 1 ? 1U : 0U;
      tally.last[expert] = now;
    }
  }
  std::vector<LayerLocality> localities;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    if (layout.n_pages(layer) != 0) {
      localities.push_back(Summarise(layer, tallies[layer]));
    }
  }
  return localities;
}

LayerLocality Total(const std::vector<LayerLocality>& layers) {
  LayerLocality total;
  for (const LayerLocality& layer : layers) {
    const auto weight = static_cast<double>(layer.n_references);
    total.n_experts += layer.n_experts;
    total.n_used += layer.n_used;
    total.n_references += layer.n_references;
    total.shared_with_last += weight * layer.shared_with_last;
    total.busiest_quarter += weight * layer.busiest_quarter;
  }
  const auto all = static_cast<double>(std::max<uint64_t>(1, total.n_references));
  total.shared_with_last /= all;
  total.busiest_quarter /= all;
  return total;
}

}  // namespace plimsoll::memory::replay
