#include "engine/order/decode_groups.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace plimsoll::engine::order {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
// Of what was used before the last turn, for what is still in a frame.
constexpr float kOlder = 0.25F;

struct Pair {
  uint32_t a = 0;
  uint32_t b = 0;
  float shared = 0;  // pages of a step that both would use
};

float Shared(std::span<const float> a, std::span<const float> b) {
  constexpr size_t kLanes = 8;
  std::array<float, kLanes> sums = {};
  for (size_t i = 0; i + kLanes <= a.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  float sum = std::reduce(sums.begin(), sums.end());
  for (size_t i = a.size() / kLanes * kLanes; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

}  // namespace

void GroupPlanner::Begin(std::span<const std::span<const float>> rates) {
  clusters_.resize(rates.size());
  for (uint32_t i = 0; i < rates.size(); ++i) {
    clusters_[i].chance.assign(rates[i].begin(), rates[i].end());
    clusters_[i].members.assign(1, i);
  }
}

// Those that share most first; one that is left over stays as it is.
void GroupPlanner::PairUp() {
  std::vector<Pair> pairs;
  for (uint32_t a = 0; a < clusters_.size(); ++a) {
    for (uint32_t b = a + 1; b < clusters_.size(); ++b) {
      pairs.push_back({a, b, Shared(clusters_[a].chance, clusters_[b].chance)});
    }
  }
  std::ranges::stable_sort(pairs, std::ranges::greater(), &Pair::shared);
  std::vector<bool> taken(clusters_.size(), false);
  for (const Pair& pair : pairs) {
    if (taken[pair.a] || taken[pair.b]) {
      continue;
    }
    taken[pair.a] = taken[pair.b] = true;
    Cluster& into = clusters_[pair.a];
    Cluster& from = clusters_[pair.b];
    for (size_t i = 0; i < into.chance.size(); ++i) {
      into.chance[i] += from.chance[i] - into.chance[i] * from.chance[i];
    }
    into.members.insert(into.members.end(), from.members.begin(), from.members.end());
    from.members.clear();
  }
  std::erase_if(clusters_, [](const Cluster& cluster) { return cluster.members.empty(); });
}

float GroupPlanner::LeastKept(std::span<const float> values, uint32_t n_frames) {
  constexpr uint32_t kBins = 1024;
  std::array<uint32_t, kBins + 1> n_in = {};
  for (const float value : values) {
    ++n_in[std::min(static_cast<uint32_t>(value * kBins), kBins)];
  }
  uint32_t n_kept = 0;
  uint32_t bin = kBins + 1;
  while (bin > 0 && n_kept + n_in[bin - 1] <= n_frames) {
    n_kept += n_in[--bin];
  }
  return static_cast<float>(bin) / kBins;
}

void GroupPlanner::Weigh(Cluster& cluster, const DecodeCosts& costs) {
  cluster.least_kept = LeastKept(cluster.chance, costs.n_frames);
  cluster.used = 0;
  cluster.missed = 0;
  for (const float chance : cluster.chance) {
    cluster.used += chance;
    cluster.missed += chance < cluster.least_kept ? chance : 0;
  }
  cluster.missed *= costs.miss_factor;
}

// What a turn's first steps read: pages that will stay, and are not there after the turn before.
double GroupPlanner::MissesOfTurn(const Cluster& cluster, const Cluster& before, uint32_t steps,
                                  const DecodeCosts& costs) {
  held_.resize(n_pages_);
  for (size_t i = 0; i < held_.size(); ++i) {
    held_[i] = (before.chance[i] + kOlder * mean_[i]) / (1 + kOlder);
  }
  const float least_held = LeastKept(held_, costs.n_frames);
  double misses = 0;
  for (size_t i = 0; i < held_.size(); ++i) {
    const float chance = cluster.chance[i];
    if (chance > 0 && chance >= cluster.least_kept && held_[i] < least_held) {
      misses += 1 - std::exp(-static_cast<double>(chance) * steps);
    }
  }
  return misses;
}

DecodeGroups GroupPlanner::Judge(const DecodeCosts& costs, const TurnLimits& limits) {
  const auto n_groups = static_cast<uint32_t>(clusters_.size());
  DecodeGroups groups = {.n_groups = n_groups, .group_of = {}, .turn_steps = 1};
  double round_seconds = 0;  // of a step of each
  double n_tokens = 0;
  mean_.assign(n_pages_, 0);
  for (Cluster& cluster : clusters_) {
    Weigh(cluster, costs);
    round_seconds += costs.seconds + costs.seconds_per_page * cluster.used +
                     costs.seconds_per_miss * cluster.missed;
    n_tokens += static_cast<double>(cluster.members.size());
    for (size_t i = 0; i < mean_.size(); ++i) {
      mean_[i] += cluster.chance[i] / static_cast<float>(n_groups);
    }
  }
  double misses = 0;
  if (n_groups > 1) {
    const double steps = std::min(limits.max_still_seconds / round_seconds,
                                  static_cast<double>(limits.max_still_steps) / (n_groups - 1));
    groups.turn_steps = std::min(static_cast<uint32_t>(steps), limits.max_turn_steps);
    if (groups.turn_steps < limits.min_turn_steps) {
      groups.seconds_per_token = kNever;
      return groups;
    }
    for (size_t i = 0; i < n_groups; ++i) {
      misses += MissesOfTurn(clusters_[i], clusters_[(i + n_groups - 1) % n_groups],
                             groups.turn_steps, costs) /
                groups.turn_steps;
    }
  }
  groups.seconds_per_token = (round_seconds + misses * costs.seconds_per_miss) / n_tokens;
  for (const Cluster& cluster : clusters_) {
    misses += cluster.missed;
  }
  groups.misses_per_token = misses / n_tokens;
  groups.group_of.resize(static_cast<size_t>(n_tokens));
  for (uint32_t i = 0; i < n_groups; ++i) {
    for (const uint32_t member : clusters_[i].members) {
      groups.group_of[member] = i;
    }
  }
  return groups;
}

DecodeGroups GroupPlanner::Cheapest(std::span<const std::span<const float>> rates,
                                    const DecodeCosts& costs, const TurnLimits& limits) {
  Begin(rates);
  DecodeGroups best = Judge(costs, limits);
  while (clusters_.size() > limits.min_groups) {
    PairUp();
    DecodeGroups groups = Judge(costs, limits);
    if (groups.n_groups >= limits.min_groups &&
        groups.seconds_per_token <= best.seconds_per_token) {
      best = std::move(groups);
    }
  }
  return best;
}

DecodeGroups GroupPlanner::Together(std::span<const std::span<const float>> rates,
                                    const DecodeCosts& costs) {
  Begin(rates.first(1));
  for (uint32_t i = 1; i < rates.size(); ++i) {
    Cluster& all = clusters_.front();
    for (size_t page = 0; page < all.chance.size(); ++page) {
      all.chance[page] += rates[i][page] - all.chance[page] * rates[i][page];
    }
    all.members.push_back(i);
  }
  return Judge(costs, {});
}

}  // namespace plimsoll::engine::order
