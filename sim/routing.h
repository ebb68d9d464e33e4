// Routers that behave like real ones: some experts are popular, neighbours in time choose alike,
// and what is popular drifts with the topic.
#pragma once

#include <cstdint>
#include <vector>

#include "memory/policy/policy.h"
#include "sim/draws.h"
#include "sim/scenario.h"

namespace plimsoll::sim {

class Routing {
 public:
  Routing(const Scenario& scenario, uint64_t seed);

  // Another subject: other experts become popular, more of them the larger `share` is.
  void ChangeTopic(double share);
  // What the router of `layer` says of so many tokens. Valid until the next call.
  [[nodiscard]] memory::policy::LayerVisit Visit(uint32_t layer, uint32_t n_tokens,
                                                 memory::policy::Phase phase);
  // A new pass through the model.
  void NextStep() { ++step_; }
  // The experts that the layer's next token is likeliest to want, the likeliest first.
  [[nodiscard]] std::vector<uint32_t> Guess(uint32_t layer, uint32_t n) const;

 private:
  void RankToken(uint32_t layer);

  const Scenario& scenario_;
  Draws draws_;
  uint64_t step_ = 0;
  std::vector<std::vector<float>> popularity_;  // [layer][expert], logarithms
  std::vector<uint32_t> ranked_;
  std::vector<float> score_;
  std::vector<uint32_t> experts_;
  std::vector<float> probabilities_;
  std::vector<uint32_t> near_experts_;
  std::vector<float> near_probabilities_;
};

}  // namespace plimsoll::sim
