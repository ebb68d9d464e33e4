// Which sequences should decode together where their experts are paged, and what that would cost.
//
// A step reads each expert of its sequences once, so sequences that use the same experts share its
// cost; but the more they use together, the less of it the frames hold until the next step. Where
// the frames hold what a group uses and not what all use, groups that take turns read less: each
// for some steps, so that what a turn has to read first is used many times.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll::engine::order {

// What a step takes, as it was measured.
struct DecodeCosts {
  uint32_t n_frames = 0;
  double seconds = 0;           // of a step that uses no expert
  double seconds_per_page = 0;  // for each expert that it uses
  double seconds_per_miss = 0;  // for each that it has to read
  double miss_factor = 1;       // misses there were for each that was predicted
};

struct TurnLimits {
  double max_still_seconds = 30;   // that a group waits for the others
  uint32_t max_still_steps = 256;  // the same
  uint32_t max_turn_steps = 64;
  uint32_t min_turn_steps = 4;
  uint32_t min_groups = 1;  // above 1, for tests: so many at least, whatever they cost
};

struct DecodeGroups {
  uint32_t n_groups = 1;           // 1: all together
  std::vector<uint32_t> group_of;  // by sequence
  uint32_t turn_steps = 1;         // of each group
  double seconds_per_token = 0;    // predicted
  double misses_per_token = 0;
};

// Not thread-safe. Keeps its memory from one call to the next.
class GroupPlanner {
 public:
  explicit GroupPlanner(uint32_t n_pages) : n_pages_(n_pages) {}

  // The cheapest of: all alone, then the pairs that share most, pairs of these and so on; the last
  // is all together. `rates` are each sequence's (ExpertRates::pages). Of groupings whose turns the
  // limits make shorter than the least nothing is expected.
  [[nodiscard]] DecodeGroups Cheapest(std::span<const std::span<const float>> rates,
                                      const DecodeCosts& costs, const TurnLimits& limits);
  // All together, as the same sums see it.
  [[nodiscard]] DecodeGroups Together(std::span<const std::span<const float>> rates,
                                      const DecodeCosts& costs);

 private:
  // Sequences as one: the chance that a step uses a page.
  struct Cluster {
    std::vector<float> chance;
    std::vector<uint32_t> members;
    double used = 0;    // pages of a step
    double missed = 0;  // of these, those that the frames do not hold
    float least_kept = 0;
  };

  void Begin(std::span<const std::span<const float>> rates);
  void PairUp();
  void Weigh(Cluster& cluster, const DecodeCosts& costs);
  [[nodiscard]] double MissesOfTurn(const Cluster& cluster, const Cluster& before, uint32_t steps,
                                    const DecodeCosts& costs);
  [[nodiscard]] DecodeGroups Judge(const DecodeCosts& costs, const TurnLimits& limits);
  // The least value of those that n_frames frames hold of these pages.
  [[nodiscard]] static float LeastKept(std::span<const float> values, uint32_t n_frames);

  uint32_t n_pages_;
  std::vector<Cluster> clusters_;
  std::vector<float> mean_;  // chance of a page, over the clusters
  std::vector<float> held_;  // scratch
};

}  // namespace plimsoll::engine::order
