// What evicting from the prefix cache by price and by recency costs, on conversations that share
// system prompts: seconds of prompts that are computed, by the cost of the model that is given.
//
//   prefix_bench [--conversations 600] [--seeds 3] [--turns 3] [--gap 60]
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "engine/prefix/replay.h"

namespace plimsoll {
namespace {

using engine::prefix::DrawTraffic;
using engine::prefix::PrefixEviction;
using engine::prefix::PrefixTreeOptions;
using engine::prefix::ReplayCost;
using engine::prefix::ReplayTrace;
using engine::prefix::SharedPrefixTraffic;

ReplayCost Sum(uint32_t n_seeds, SharedPrefixTraffic traffic, uint32_t n_blocks,
               PrefixEviction order) {
  ReplayCost sum;
  for (uint32_t seed = 1; seed <= n_seeds; ++seed) {
    traffic.seed = seed;
    const auto requests = DrawTraffic(traffic);
    PrefixTreeOptions options;
    options.eviction = order;
    const ReplayCost cost = ReplayTrace(requests, n_blocks, options);
    sum.prompt_tokens += cost.prompt_tokens;
    sum.computed_tokens += cost.computed_tokens;
    sum.computed_seconds += cost.computed_seconds;
    sum.n_evicted += cost.n_evicted;
  }
  return sum;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  using plimsoll::engine::prefix::PrefixEviction;
  uint32_t n_seeds = 3;
  plimsoll::engine::prefix::SharedPrefixTraffic traffic = {.n_conversations = 600};
  CLI::App app("Eviction from the prefix cache, by price and by recency");
  app.add_option("--conversations", traffic.n_conversations);
  app.add_option("--turns", traffic.turns, "mean of a conversation");
  app.add_option("--gap", traffic.seconds_between_turns, "mean, seconds");
  app.add_option("--seeds", n_seeds);
  CLI11_PARSE(app, argc, argv);
  fmt::print(
      "| Tokens of memory | Computed by recency | by price | Seconds by recency | by price |"
      " |\n|---:|---:|---:|---:|---:|---:|\n");
  for (const uint32_t n_blocks : {500U, 1000U, 2000U, 4000U, 8000U}) {
    const auto recency = plimsoll::Sum(n_seeds, traffic, n_blocks, PrefixEviction::kLeastRecent);
    const auto price = plimsoll::Sum(n_seeds, traffic, n_blocks, PrefixEviction::kPrice);
    const auto share = [](const plimsoll::engine::prefix::ReplayCost& cost) {
      return 100 * static_cast<double>(cost.computed_tokens) /
             static_cast<double>(cost.prompt_tokens);
    };
    fmt::print("| {} | {:.1f} % | {:.1f} % | {:.0f} | {:.0f} | {:+.1f} % |\n",
               n_blocks * plimsoll::kv::kBlockTokens, share(recency), share(price),
               recency.computed_seconds, price.computed_seconds,
               100 * (price.computed_seconds / recency.computed_seconds - 1));
  }
  return 0;
}
