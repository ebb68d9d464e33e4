#include "engine/prefix/replay.h"

#include <gtest/gtest.h>

#include "base/sanitized.h"

namespace plimsoll::engine::prefix {
namespace {

ReplayCost CostWith(PrefixEviction order, std::span<const TraceRequest> requests,
                    uint32_t n_blocks) {
  PrefixTreeOptions options;
  options.eviction = order;
  return ReplayTrace(requests, n_blocks, options);
}

TEST(ReplayTrace, WithRoomForAllComputesEachBeginningOnce) {
  const auto requests = DrawTraffic({.n_conversations = 30, .n_systems = 3});
  const ReplayCost roomy = CostWith(PrefixEviction::kPrice, requests, 20'000);
  EXPECT_EQ(roomy.n_evicted, 0U);
  EXPECT_LT(roomy.computed_tokens, roomy.prompt_tokens / 4);
  const ReplayCost tight = CostWith(PrefixEviction::kPrice, requests, 200);
  EXPECT_GT(tight.n_evicted, 0U);
  EXPECT_GT(tight.computed_tokens, roomy.computed_tokens);
}

// The traffic of docs/prefix-cache.md, which has the figures.
TEST(ReplayTrace, EvictionByPriceCostsLessThanByRecency) {
  if (kSanitized) {
    GTEST_SKIP() << "counts what the release build counts, many times slower";
  }
  for (const uint32_t n_blocks : {500U, 1000U, 2000U, 4000U}) {
    double by_price = 0;
    double by_recency = 0;
    for (const uint64_t seed : {1U, 2U, 3U}) {
      const auto requests = DrawTraffic({.seed = seed, .n_conversations = 600});
      by_price += CostWith(PrefixEviction::kPrice, requests, n_blocks).computed_seconds;
      by_recency += CostWith(PrefixEviction::kLeastRecent, requests, n_blocks).computed_seconds;
    }
    EXPECT_LT(by_price, 0.98 * by_recency) << n_blocks << " blocks";
  }
}

}  // namespace
}  // namespace plimsoll::engine::prefix
