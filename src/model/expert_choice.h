// Which experts a token goes to, and how much each counts.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernels.h"
#include "model/hyper_params.h"
#include "model/weights.h"

namespace plimsoll::model {

// Memory for one choice, of unspecified content.
struct ChoiceSpace {
  std::span<float> selection;     // [n_experts]
  std::span<float> group_scores;  // [n_groups]
  std::span<uint32_t> groups;     // [n_groups_used]
};

// Turns the router's logits of one token into scores, in place, and chooses chosen.size() experts
// (ascending ids) with their weights. `selection_bias` (one an expert, may be empty) is added to
// the scores for the choice alone, not for the weights. docs/numerics.md, "Layers".
//
// Sources: group-limited choice and its bias, DeepSeek-V3, arXiv:2412.19437, section 2.1.2.
void ChooseExperts(const kernels::KernelSet& kernels, const RouterParams& router,
                   Vector selection_bias, std::span<float> logits, const ChoiceSpace& space,
                   std::span<uint32_t> chosen, std::span<float> chosen_weights);

}  // namespace plimsoll::model
