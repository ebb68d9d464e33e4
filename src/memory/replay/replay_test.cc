// Replay against counts made by hand, Belady against every possible choice, Mattson against LRU at
// every size; and the real traces, where they are.
#include "memory/replay/replay.h"

#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "base/sanitized.h"
#include "memory/policy/lfu.h"
#include "memory/policy/lru.h"
#include "memory/policy/make_policy.h"
#include "memory/replay/belady.h"
#include "memory/replay/stack_distance.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::memory::replay {
namespace {

using policy::DecayedLfu;
using policy::Lru;
using policy::PageId;
using policy::Scope;
using trace::Trace;

// Tokens of one layer after another: rows[token][layer] is what the token chose there.
Trace MakeTrace(const std::vector<std::vector<std::vector<uint32_t>>>& rows, uint32_t n_experts) {
  Trace trace;
  const size_t n_layers = rows.empty() ? 1 : rows[0].size();
  const auto n_active = static_cast<uint32_t>(rows.empty() ? 1 : rows[0][0].size());
  trace.layers.assign(n_layers, {n_experts, n_active, n_active, 0});
  for (uint32_t pass = 0; pass < rows.size(); ++pass) {
    for (uint32_t layer = 0; layer < n_layers; ++layer) {
      trace.visits.push_back({layer, pass, policy::Phase::kDecode, 1, trace.choices.size()});
      for (const uint32_t expert : rows[pass][layer]) {
        trace.choices.push_back({expert, 0.5F});
      }
    }
  }
  return trace;
}

// One expert a token in one layer.
ReferenceStream Single(const std::vector<uint32_t>& experts, uint32_t n_experts) {
  std::vector<std::vector<std::vector<uint32_t>>> rows;
  for (const uint32_t expert : experts) {
    rows.push_back({{expert}});
  }
  return {MakeTrace(rows, n_experts), PrefillAs::kChunk};
}

uint64_t Misses(const ReferenceStream& stream, policy::Policy&& policy, uint32_t n_slots) {
  return Replay(stream, policy, n_slots).decode.misses;
}

// The sequence of Belady's paper's textbook example, three frames.
TEST(ReplayTest, TheTextbookSequence) {
  const auto stream = Single({7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1}, 8);
  EXPECT_EQ(Misses(stream, Lru(stream.layout(), Scope::kGlobal), 3), 12U);
  EXPECT_EQ(Misses(stream, Belady(stream), 3), 9U);
  EXPECT_EQ(stream.n_references(), 20U);
  EXPECT_EQ(stream.n_distinct(), 6U);
}

// What a decode step needs together is pinned together: with two slots and two experts a token, the
// second must not push out the first.
TEST(ReplayTest, TheExpertsOfATokenDoNotEvictEachOther) {
  const ReferenceStream stream(MakeTrace({{{0, 1}}, {{1, 2}}, {{2, 1}}, {{0, 1}}}, 4),
                               PrefillAs::kChunk);
  EXPECT_EQ(Misses(stream, Lru(stream.layout(), Scope::kGlobal), 2), 4U);
  EXPECT_EQ(stream.widest_decode(), 2U);
}

TEST(ReplayTest, APromptCountsApartAndCanBeReplayedByToken) {
  Trace trace = MakeTrace({{{0, 1}, {0, 1}}}, 4);
  trace.visits[0] = {0, 0, policy::Phase::kPrefill, 3, 0};
  trace.visits[1] = {1, 0, policy::Phase::kPrefill, 1, 6};
  trace.choices = {{0, 1}, {1, 0}, {1, 1}, {2, 0}, {0, 1}, {3, 0}, {2, 1}, {1, 0}};
  const ReferenceStream chunk(trace, PrefillAs::kChunk);
  Lru lru(chunk.layout(), Scope::kGlobal);
  const ReplayCounts counts = Replay(chunk, lru, 8);
  EXPECT_EQ(counts.prefill.references, 6U);
  EXPECT_EQ(counts.prefill.misses, 6U);
  EXPECT_EQ(counts.decode.references, 0U);

  const ReferenceStream tokens(trace, PrefillAs::kTokens);
  EXPECT_EQ(tokens.n_steps(), 3U);
  EXPECT_EQ(tokens.n_references(), 8U);
  EXPECT_EQ(tokens.visit(3).layer, 1U);  // the last layer has the last token only
  EXPECT_EQ(ReferenceStream(trace, PrefillAs::kNothing).size(), 0U);
}

// The fewest misses over every choice of victims, by trying them all.
uint64_t FewestMisses(const std::vector<uint32_t>& experts, size_t at, std::set<uint32_t> resident,
                      size_t n_slots) {
  if (at == experts.size()) {
    return 0;
  }
  if (resident.contains(experts[at])) {
    return FewestMisses(experts, at + 1, resident, n_slots);
  }
  if (resident.size() < n_slots) {
    resident.insert(experts[at]);
    return 1 + FewestMisses(experts, at + 1, resident, n_slots);
  }
  uint64_t fewest = UINT64_MAX;
  for (const uint32_t victim : resident) {
    std::set<uint32_t> next = resident;
    next.erase(victim);
    next.insert(experts[at]);
    fewest = std::min(fewest, 1 + FewestMisses(experts, at + 1, next, n_slots));
  }
  return fewest;
}

TEST(BeladyTest, NoChoiceOfVictimsMissesLess) {
  EXPECT_TRUE(rc::check([] {
    const auto n = *rc::gen::inRange<size_t>(1, 12);
    const auto experts =
        *rc::gen::container<std::vector<uint32_t>>(n, rc::gen::inRange<uint32_t>(0, 6));
    const auto n_slots = *rc::gen::inRange(1U, 4U);
    const auto stream = Single(experts, 6);
    RC_ASSERT(Misses(stream, Belady(stream), n_slots) == FewestMisses(experts, 0, {}, n_slots));
  }));
}

rc::Gen<std::vector<std::vector<std::vector<uint32_t>>>> AnyRows(size_t n_layers) {
  const auto pair = rc::gen::map(
      rc::gen::pair(rc::gen::inRange<uint32_t>(0, 10), rc::gen::inRange<uint32_t>(1, 10)),
      [](const std::pair<uint32_t, uint32_t>& p) {
        return std::vector<uint32_t>{p.first, (p.first + p.second) % 10};
      });
  return rc::gen::container<std::vector<std::vector<std::vector<uint32_t>>>>(
      rc::gen::container<std::vector<std::vector<uint32_t>>>(n_layers, pair));
}

TEST(PolicyReplayTest, NoPolicyBeatsBelady) {
  EXPECT_TRUE(rc::check([] {
    const auto rows = *AnyRows(3);
    const ReferenceStream stream(MakeTrace(rows, 10), PrefillAs::kChunk);
    const auto n_slots = *rc::gen::inRange(2U, 31U);
    const uint64_t fewest = Misses(stream, Belady(stream), n_slots);
    RC_ASSERT(fewest >= stream.n_distinct());
    for (const auto& known : policy::PolicyNames()) {
      const auto policy = policy::MakePolicy(known.name, stream.layout()).value();
      const uint64_t misses = Replay(stream, *policy, n_slots).decode.misses;
      RC_ASSERT(misses >= fewest);
      RC_ASSERT(misses <= stream.n_references());
      RC_ASSERT(n_slots < 30 || misses == stream.n_distinct());
    }
  }));
}

TEST(MissCurveTest, IsWhatLruMissesAtEverySize) {
  EXPECT_TRUE(rc::check([] {
    const auto rows = *AnyRows(2);
    const ReferenceStream stream(MakeTrace(rows, 10), PrefillAs::kChunk);
    const MissCurve curve = LruMissCurve(stream, Scope::kGlobal);
    for (uint32_t n_slots = 1; n_slots <= 20; ++n_slots) {
      RC_ASSERT(curve.misses(n_slots) ==
                Misses(stream, Lru(stream.layout(), Scope::kGlobal), n_slots));
    }
  }));
}

TEST(MissCurveTest, PerLayerItCountsSlotsOfEachLayer) {
  EXPECT_TRUE(rc::check([] {
    const auto rows = *AnyRows(2);
    const ReferenceStream both(MakeTrace(rows, 10), PrefillAs::kChunk);
    const MissCurve curve = LruMissCurve(both, Scope::kPerLayer);
    uint64_t sum = 0;
    for (size_t layer = 0; layer < 2; ++layer) {
      std::vector<std::vector<std::vector<uint32_t>>> alone;
      for (const auto& token : rows) {
        alone.push_back({token[layer]});
      }
      const ReferenceStream stream(MakeTrace(alone, 10), PrefillAs::kChunk);
      sum += Misses(stream, Lru(stream.layout(), Scope::kGlobal), 4);
    }
    RC_ASSERT(curve.misses(4) == sum);
  }));
}

class RealTraces : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("PLIMSOLL_SHARED");
    const std::filesystem::path folder =
        shared != nullptr ? shared : PLIMSOLL_SOURCE_DIR "/../shared";
    const auto path = folder / "data" / "traces" / (std::string(GetParam()) + ".route.csv");
    if (!std::filesystem::exists(path)) {
      GTEST_SKIP() << "no " << path.string() << "; PLIMSOLL_SHARED names the folder of shared data";
    }
    auto trace = trace::ReadTrace(path);
    ASSERT_TRUE(trace) << trace.error().message;
    trace_ = *std::move(trace);
  }

  Trace trace_;
};

// What docs/paging.md promises of the default, with its fitted weights.
TEST_P(RealTraces, TheDefaultMissesLessThanTheBestDecayedLfu) {
  if (kSanitized) {
    GTEST_SKIP() << "counts misses, which are the same in the release build, some ten times slower";
  }
  const ReferenceStream stream(trace_, PrefillAs::kChunk);
  for (const double share : {0.12, 0.25}) {
    const auto n_slots = static_cast<uint32_t>(std::lround(share * stream.layout().n_pages()));
    uint64_t best = UINT64_MAX;
    for (const Scope scope : {Scope::kGlobal, Scope::kPerLayer}) {
      for (const double half_life : {3.0, 4.0, 8.0, 12.0, 16.0, 32.0}) {
        best =
            std::min(best, Misses(stream, DecayedLfu(stream.layout(), scope, half_life), n_slots));
      }
    }
    const auto forecast = policy::MakePolicy("forecast", stream.layout()).value();
    const uint64_t misses = Replay(stream, *forecast, n_slots).decode.misses;
    EXPECT_LT(static_cast<double>(misses), 0.97 * static_cast<double>(best)) << share;
  }
}

// No cliff: a global LRU hits nothing where slots are fewer than a token touches.
TEST_P(RealTraces, TheDefaultHitsBelowOneTokensCycle) {
  const ReferenceStream stream(trace_, PrefillAs::kChunk);
  const uint32_t n_slots = stream.decode_cycle() - stream.widest_decode();
  Lru lru(stream.layout(), Scope::kGlobal);
  EXPECT_EQ(Replay(stream, lru, n_slots).decode.hit_rate(), 0);
  const auto forecast = policy::MakePolicy("forecast", stream.layout()).value();
  EXPECT_GT(Replay(stream, *forecast, n_slots).decode.hit_rate(), 0.2);
}

TEST_P(RealTraces, TheMissCurveIsLru) {
  const ReferenceStream stream(trace_, PrefillAs::kChunk);
  const MissCurve curve = LruMissCurve(stream, Scope::kGlobal);
  for (const double share : {0.02, 0.12, 0.25, 0.5}) {
    const auto n_slots = static_cast<uint32_t>(std::lround(share * stream.layout().n_pages()));
    EXPECT_EQ(curve.misses(n_slots), Misses(stream, Lru(stream.layout(), Scope::kGlobal), n_slots));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, RealTraces, testing::Values("qwen", "gemma", "gptoss"),
                         [](const auto& param) { return std::string(param.param); });

}  // namespace
}  // namespace plimsoll::memory::replay
