// A disk that fails below sequences that keep only some of their keys and values: what is computed
// again when it is sound, and who is told of it.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/batch/batch_test_tools.h"
#include "engine/session.h"
#include "tests/failing_engine.h"

namespace plimsoll::engine {
namespace {

using kv::policy::PolicyKind;
using kv::policy::PolicyOptions;

constexpr uint32_t kChunk = FailingEngine::kChunk;

std::vector<float> LogitsBehind(Session& session, std::span<const TokenId> tokens) {
  const auto logits = session.AppendForLogits(tokens);
  EXPECT_TRUE(logits) << (logits ? "" : logits.error().message);
  return logits ? std::vector<float>(logits->begin(), logits->end()) : std::vector<float>();
}

class KvFaults : public testing::TestWithParam<PolicyKind> {};

// What a pass made room for before it failed is gone: the session goes back to the tokens that it
// still has as a fresh one would, and what is computed from there is what it would have been.
TEST_P(KvFaults, AfterAPassThatDroppedBlocksASessionBeginsAnew) {
  const PolicyOptions policy = {.kind = GetParam(), .budget = SizeSpec{.percent = 50}};
  const auto tokens = Tokens(480);
  uint32_t n_anew = 0;
  uint32_t n_kept = 0;
  FailingEngine engine(policy);
  for (size_t n = 128; n + kChunk <= tokens.size(); n += kChunk) {
    const auto first = std::span(tokens).first(n);
    const auto more = std::span(tokens).subspan(n, kChunk);
    const auto expected = [&] {
      const auto sound = MakeSession(engine.state()).value();
      (void)LogitsBehind(*sound, first);
      return LogitsBehind(*sound, more);
    }();
    const auto session = MakeSession(engine.state()).value();
    (void)LogitsBehind(*session, first);
    engine.Fail();
    const auto failed = session->AppendForLogits(more);
    ASSERT_FALSE(failed) << n;
    EXPECT_EQ(failed.error().kind, ErrorKind::kIo);
    engine.Heal();
    const size_t n_left = session->tokens().size();
    ASSERT_LE(n_left, n + kChunk);
    (n_left <= kv::kBlockTokens ? n_anew : n_kept) += 1;
    EXPECT_EQ(LogitsBehind(*session, std::span(tokens).subspan(n_left, n + kChunk - n_left)),
              expected)
        << n << " " << n_left;
  }
  // Of episode, it is the patch prompt that fails, before anything goes; arkv makes room for
  // originals in every such pass.
  EXPECT_EQ(n_anew > 0, GetParam() != PolicyKind::kEpisode);
  EXPECT_EQ(n_kept > 0, GetParam() != PolicyKind::kArkv);
}

INSTANTIATE_TEST_SUITE_P(Policies, KvFaults,
                         testing::Values(PolicyKind::kWindow, PolicyKind::kBlock, PolicyKind::kSnap,
                                         PolicyKind::kArkv, PolicyKind::kEpisode),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

// The disk is sound again when somebody was told that it is not.
struct Healing final : GenerationSink {
  explicit Healing(FailingEngine& failing) : engine(failing) {}
  void OnText(std::string_view /*text*/, std::span<const GeneratedToken> /*drawn*/) override {}
  void OnEnd(const GenerationEnd& how) override {
    ++n_ends;
    end = how;
    engine.Heal();
  }
  [[nodiscard]] bool HasRoom() const override { return true; }

  FailingEngine& engine;
  GenerationEnd end;
  int n_ends = 0;
};

// Two requests beside each other; the disk fails in every step in which a patch prompt looks, and
// in one run in none. That it looked shows in the tokens that were computed: more than were asked
// for.
TEST(KvFaultsOfABatch, APatchPromptThatCannotBeComputedEndsItsRequestAlone) {
  const PolicyOptions episode = {.kind = PolicyKind::kEpisode, .budget = SizeSpec{.percent = 50}};
  std::vector<size_t> steps_that_look;
  std::string expected;
  const auto run = [&](std::optional<size_t> failing_step) {
    FailingEngine engine(episode, 2);
    const auto batcher = batch::Batcher::Create(engine.state(), {.n_parallel = 2}).value();
    const auto ask = [&](RequestId id, size_t n_prompt, std::shared_ptr<GenerationSink> sink) {
      batcher->Add(
          id,
          {.prompt = Tokens(n_prompt, id),
           .options = {.sampling = {.temperature = 0}, .n_predict = 30, .ignore_end = true}},
          std::move(sink), batch::Clock::now());
    };
    const auto longer = std::make_shared<Healing>(engine);
    const auto shorter = std::make_shared<batch::Heard>();
    ask(1, 60, shorter);
    ask(2, 470, longer);
    for (size_t step = 0;; ++step) {
      const uint64_t n_before = batcher->totals().computed_tokens;
      if (step == failing_step) {
        engine.Fail();
      }
      if (batcher->Step(batch::Clock::now()) == batch::Batcher::Outcome::kIdle) {
        break;
      }
      if (!failing_step && batcher->totals().computed_tokens - n_before > kChunk) {
        steps_that_look.push_back(step);
      }
    }
    EXPECT_FALSE(shorter->end.error);
    EXPECT_EQ(batcher->n_free_blocks(), batcher->n_blocks());
    if (!failing_step) {
      EXPECT_FALSE(longer->end.error);
      expected = shorter->text;
    } else {
      EXPECT_TRUE(longer->end.error);
      EXPECT_EQ(longer->end.error->kind, ErrorKind::kIo);
      EXPECT_EQ(longer->n_ends, 1);
      EXPECT_EQ(shorter->text, expected) << *failing_step;
    }
  };
  run(std::nullopt);
  ASSERT_GT(steps_that_look.size(), 1U);
  for (const size_t step : steps_that_look) {
    run(step);
  }
}

}  // namespace
}  // namespace plimsoll::engine
