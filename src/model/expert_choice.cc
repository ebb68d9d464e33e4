#include "model/expert_choice.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "model/top_k.h"

namespace plimsoll::model {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Weights that sum to less are not blown up to 1: the least normal F16, as llama.cpp has it.
constexpr float kLeastSum = 0x1p-14F;

void Score(const kernels::KernelSet& kernels, RouterScore score, std::span<float> logits) {
  switch (score) {
    case RouterScore::kSoftmax:
      kernels.softmax(logits.data(), logits.size());
      break;
    case RouterScore::kSigmoid:
      kernels.sigmoid(logits.data(), logits.size());
      break;
    case RouterScore::kSoftmaxOfChosen:
      break;
  }
}

float SumOfBestTwo(std::span<const float> scores) {
  float best = kNever;
  float second = kNever;
  for (const float score : scores) {
    second = std::max(second, std::min(best, score));
    best = std::max(best, score);
  }
  return best + second;
}

// Experts outside the best groups get a score that is never chosen.
void MaskGroups(const RouterParams& router, const ChoiceSpace& space) {
  const size_t size = space.selection.size() / router.n_groups;
  for (uint32_t group = 0; group < router.n_groups; ++group) {
    space.group_scores[group] = SumOfBestTwo(space.selection.subspan(group * size, size));
  }
  const auto used = space.groups.first(router.n_groups_used);
  ChooseTop(space.group_scores.first(router.n_groups), used);
  for (uint32_t group = 0; group < router.n_groups; ++group) {
    if (!std::ranges::binary_search(used, group)) {
      std::ranges::fill(space.selection.subspan(group * size, size), kNever);
    }
  }
}

}  // namespace

void ChooseExperts(const kernels::KernelSet& kernels, const RouterParams& router,
                   Vector selection_bias, std::span<float> logits, const ChoiceSpace& space,
                   std::span<uint32_t> chosen, std::span<float> chosen_weights) {
  Score(kernels, router.score, logits);
  const std::span<const float> scores = logits;
  std::ranges::copy(scores, space.selection.begin());
  if (!selection_bias.empty()) {
    kernels.add(selection_bias.data(), scores.size(), space.selection.data());
  }
  if (router.n_groups > 1) {
    MaskGroups(router, space);
  }
  ChooseTop(space.selection, chosen);

  std::ranges::transform(chosen, chosen_weights.begin(), [&](uint32_t id) { return scores[id]; });
  if (router.score == RouterScore::kSoftmaxOfChosen) {
    kernels.softmax(chosen_weights.data(), chosen_weights.size());
  }
  if (router.normalize) {
    const float sum = std::accumulate(chosen_weights.begin(), chosen_weights.end(), 0.0F);
    const float divisor = std::max(sum, kLeastSum);
    std::ranges::for_each(chosen_weights, [divisor](float& w) { w = w / divisor; });
  }
  if (router.scale != 1.0F) {
    std::ranges::for_each(chosen_weights, [&](float& w) { w = w * router.scale; });
  }
}

}  // namespace plimsoll::model
