// A disk that fails for some steps under a batch of requests: each ends once, with an error or with
// the text that it should have, and those that come when the disk is well again are served.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/rng.h"
#include "engine/batch/batch_test_tools.h"
#include "tests/failing_engine.h"
#include "tests/is_night.h"

namespace plimsoll::engine {
namespace {

constexpr uint64_t kRequests = 3;

class ServedFaults : public testing::Test {
 protected:
  ServedFaults()
      : engine_({}, kRequests),
        batcher_(batch::Batcher::Create(engine_.state(), {.n_parallel = kRequests}).value()) {}

  // Three requests at a time; `before_step` is told how many steps there were.
  std::vector<std::shared_ptr<batch::Heard>> Serve(
      const std::function<void(uint64_t)>& before_step) {
    std::vector<std::shared_ptr<batch::Heard>> heard;
    for (uint64_t i = 0; i < kRequests; ++i) {
      heard.push_back(std::make_shared<batch::Heard>());
      batcher_->Add(
          next_id_++,
          {.prompt = Tokens(40 + 20 * i, i),
           .options = {.sampling = {.temperature = 0}, .n_predict = 8, .ignore_end = true}},
          heard.back(), batch::Clock::now());
    }
    do {
      before_step(n_steps_++);
    } while (batcher_->Step(batch::Clock::now()) != batch::Batcher::Outcome::kIdle);
    for (const auto& request : heard) {
      EXPECT_EQ(request->n_ends, 1);
    }
    // Prompts stay, for others that begin alike: the same after every round.
    n_free_blocks_ = n_free_blocks_.value_or(batcher_->n_free_blocks());
    EXPECT_EQ(batcher_->n_free_blocks(), *n_free_blocks_);
    return heard;
  }

  FailingEngine engine_;
  std::unique_ptr<batch::Batcher> batcher_;
  RequestId next_id_ = 1;
  uint64_t n_steps_ = 0;
  std::optional<uint32_t> n_free_blocks_;
};

TEST_F(ServedFaults, ABurstOfErrorsEndsRequestsOnceAndThoseAfterItAreServed) {
  std::vector<std::string> expected;
  for (const auto& request : Serve([](uint64_t /*step*/) {})) {
    ASSERT_FALSE(request->end.error);
    expected.push_back(request->text);
  }
  const uint64_t n_steps = n_steps_;
  ASSERT_GT(n_steps, 8U);
  uint64_t n_failed = 0;
  uint64_t n_served = 0;
  const uint64_t n_seeds = tests::IsNight() ? 150 : 2;
  for (const double share : {0.01, 0.1, 1.0}) {
    for (uint64_t seed = 1; seed <= n_seeds; ++seed) {
      const uint64_t first = n_steps_ + Philox(seed, 0, 0)[0] % n_steps;
      const uint64_t last = first + Philox(seed, 1, 0)[0] % n_steps;
      const auto heard = Serve([&](uint64_t step) {
        if (step == first) {
          engine_.Fail({.seed = seed, .error_share = share, .lasting = true});
        } else if (step == last) {
          engine_.Heal();
        }
      });
      engine_.Heal();
      for (uint64_t i = 0; i < kRequests; ++i) {
        if (heard[i]->end.error) {
          ++n_failed;
          EXPECT_EQ(heard[i]->end.error->kind, ErrorKind::kIo);
          EXPECT_TRUE(expected[i].starts_with(heard[i]->text));
        } else {
          ++n_served;
          EXPECT_EQ(heard[i]->text, expected[i]) << share << ", seed " << seed;
        }
      }
      const auto after = Serve([](uint64_t /*step*/) {});
      for (uint64_t i = 0; i < kRequests; ++i) {
        EXPECT_FALSE(after[i]->end.error);
        EXPECT_EQ(after[i]->text, expected[i]) << share << ", seed " << seed;
      }
    }
  }
  EXPECT_GT(n_failed, 0U);
  EXPECT_GT(n_served, 0U);
  RecordProperty("failed", std::to_string(n_failed));
  RecordProperty("served", std::to_string(n_served));
}

}  // namespace
}  // namespace plimsoll::engine
