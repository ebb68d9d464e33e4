#include "memory/policy/guess_gate.h"

#include <algorithm>

namespace plimsoll::memory::policy {
namespace {

constexpr float kWorth = 0.6F;
constexpr float kLayerKeep = 1 - 1.0F / 64;
constexpr float kAllKeep = 1 - 1.0F / 512;
// What is not known of a layer is as in all layers; what is not known of these is not worth it.
constexpr float kPriorOfLayer = 8;
constexpr float kPriorOfAll = 8;
constexpr float kPriorChance = 0.4F;

}  // namespace

Result<GuessBy> GuessByNamed(std::string_view name) {
  if (name.empty() || name == "router") {
    return GuessBy::kRouter;
  }
  if (name == "off") {
    return GuessBy::kNothing;
  }
  if (name == "pairs") {
    return GuessBy::kPairs;
  }
  return Fail(ErrorKind::kUsage, "no way to guess experts {}; there are router, pairs and off",
              name);
}

GuessGate::GuessGate(const PageLayout& layout) : layout_(layout), of_layer_(layout.n_layers()) {
  guesses_.reserve(kRanks);
  worth_.reserve(kRanks);
}

void GuessGate::Record::Add(bool came_true, float keep) {
  judged = keep * judged + 1;
  right = keep * right + (came_true ? 1.0F : 0.0F);
}

void GuessGate::Begin(uint32_t layer) {
  layer_ = layer;
  guesses_.clear();
  worth_.clear();
}

void GuessGate::Add(PageId page, uint32_t rank) {
  guesses_.push_back({page, rank});
  if (Chance(layer_, rank) >= kWorth) {
    worth_.push_back(page);
  }
}

float GuessGate::Chance(uint32_t layer, uint32_t rank) const {
  const Record& all = of_all_[rank];
  const float of_all = (all.right + kPriorOfAll * kPriorChance) / (all.judged + kPriorOfAll);
  const Record& own = of_layer_[layer][rank];
  return (own.right + kPriorOfLayer * of_all) / (own.judged + kPriorOfLayer);
}

void GuessGate::Visit(const LayerVisit& visit) {
  if (visit.layer == layer_) {
    for (const Guess& guess : guesses_) {
      const uint32_t expert = guess.page.value - layout_.begin(layer_);
      const bool came_true = std::ranges::find(visit.experts, expert) != visit.experts.end();
      of_layer_[layer_][guess.rank].Add(came_true, kLayerKeep);
      of_all_[guess.rank].Add(came_true, kAllKeep);
      ++stats_.judged;
      stats_.right += came_true ? 1U : 0U;
    }
  }
  guesses_.clear();
}

}  // namespace plimsoll::memory::policy
