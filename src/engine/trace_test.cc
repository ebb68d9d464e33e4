// Recording what the routers choose: every layer of every pass, and not a bit of the logits
// changed.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "engine/engine.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::engine {
namespace {

using memory::policy::Phase;

// The last logits after a prompt of three tokens and two single ones.
std::vector<float> RunBundled(const std::optional<std::filesystem::path>& trace) {
  auto engine = Engine::Load({.n_ctx = 64, .n_threads = 1, .trace = trace}, {}).value();
  const auto session = engine->NewSession().value();
  const std::vector<TokenId> prompt = {5, 60, 7};
  const std::vector<TokenId> next = {61};
  (void)session->AppendForLogits(prompt).value();
  (void)session->AppendForLogits(next).value();
  const auto logits = session->AppendForLogits(next).value();
  EXPECT_TRUE(engine->FinishTrace());
  return {logits.begin(), logits.end()};
}

TEST(RecordTrace, HasEveryLayerOfEveryPassAndChangesNothing) {
  const auto path = std::filesystem::path(testing::TempDir()) /
                    ("plimsoll_engine_trace_" + std::to_string(::getpid()));
  EXPECT_EQ(RunBundled(path), RunBundled(std::nullopt));
  const auto trace = memory::trace::ReadTrace(path);
  ASSERT_TRUE(trace) << trace.error().message;
  std::filesystem::remove(path);
  const size_t n_layers = trace->layers.size();
  ASSERT_EQ(trace->visits.size(), 3 * n_layers);
  for (size_t i = 0; i < trace->visits.size(); ++i) {
    const auto& visit = trace->visits[i];
    const auto& layer = trace->layers[visit.layer];
    EXPECT_EQ(visit.layer, i % n_layers);
    EXPECT_EQ(visit.pass, i / n_layers);
    EXPECT_EQ(visit.phase, i < n_layers ? Phase::kPrefill : Phase::kDecode);
    EXPECT_EQ(visit.n_tokens, i < n_layers ? 3U : 1U);
    EXPECT_EQ(layer.n_ranked, 2 * layer.n_active);
    // A near-miss is ranked behind every chosen expert, and they fall.
    const auto ranked = trace->ranked(visit, visit.n_tokens - 1);
    float least = 1;
    for (const auto& chosen : ranked.first(layer.n_active)) {
      least = std::min(least, chosen.probability);
    }
    for (const auto& near : ranked.subspan(layer.n_active)) {
      EXPECT_LE(near.probability, least);
      least = near.probability;
    }
  }
}

}  // namespace
}  // namespace plimsoll::engine
