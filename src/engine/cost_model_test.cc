#include "engine/cost_model.h"

#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

constexpr double kMega = 1e6;

// Four layers of 16 experts of 3 MB, two a token; a memory of 10 GB/s and a disk of 1 GB/s.
TokenWork SomeWork() {
  TokenWork work;
  work.dense_bytes = 100'000'000;
  work.kv_bytes = 20'000'000;
  work.dense_multiply_adds = 100'000'000;
  work.experts.assign(4, {.expert_bytes = 3'000'000,
                          .read_bytes = 3'000'000,
                          .n_parts = 3,
                          .n_experts = 16,
                          .n_active = 2,
                          .multiply_adds = 3'000'000});
  return work;
}

MachineSpeed SomeSpeed() {
  MachineSpeed speed = {
      .memory = 1e10, .multiply_adds = 1e11, .attention_multiply_adds = 1e10, .disk = {}};
  speed.disk.cells = {{.page_bytes = 1 << 20, .depth = 1, .bytes_per_second = 1e9}};
  speed.disk.sustained = 1e9;
  return speed;
}

TEST(CostOfDecode, IsMemoryAloneWhenNothingIsMissing) {
  const DecodeCost cost = CostOfDecode(SomeWork(), SomeSpeed(), 0);
  EXPECT_EQ(cost.misses, 0);
  EXPECT_EQ(cost.read_bytes, 0);
  EXPECT_NEAR(cost.dense_seconds, 0.012, 1e-12);
  EXPECT_NEAR(cost.expert_seconds, 4 * 0.0006, 1e-12);
  EXPECT_EQ(cost.waiting_seconds, 0);
  EXPECT_EQ(cost.seconds(), cost.dense_seconds + cost.expert_seconds);
}

TEST(CostOfDecode, HidesArithmeticBehindReadsLayerByLayer) {
  const DecodeCost all = CostOfDecode(SomeWork(), SomeSpeed(), 1);
  EXPECT_NEAR(all.misses, 8, 1e-12);
  EXPECT_NEAR(all.read_bytes, 24 * kMega, 1e-3);
  EXPECT_NEAR(all.disk_seconds, 0.024, 1e-12);
  EXPECT_NEAR(all.expert_seconds + all.waiting_seconds, 0.024, 1e-12);
  // One in two: of a layer's two a quarter of the tokens misses both, half of them one.
  const DecodeCost half = CostOfDecode(SomeWork(), SomeSpeed(), 0.5);
  EXPECT_NEAR(half.misses, 4, 1e-12);
  EXPECT_NEAR(half.waiting_seconds, 4 * (0.25 * (0.006 - 0.0006) + 0.5 * (0.003 - 0.0006)), 1e-12);
}

TEST(CostOfDecode, ReadsMoreAtOnceFaster) {
  MachineSpeed speed = SomeSpeed();
  speed.disk.cells = {{.page_bytes = 1 << 20, .depth = 3, .bytes_per_second = 0.5e9},
                      {.page_bytes = 1 << 20, .depth = 6, .bytes_per_second = 1e9}};
  EXPECT_NEAR(CostOfDecode(SomeWork(), speed, 1).disk_seconds, 0.024, 1e-12);
  // Single misses come at half the rate: 0.25 * 6 MB at 1 GB/s and 0.5 * 3 MB at 0.5 GB/s.
  EXPECT_NEAR(CostOfDecode(SomeWork(), speed, 0.5).disk_seconds, 4 * (0.0015 + 0.003), 1e-12);
}

TEST(CostOfPrefill, ReadsEveryMissingExpertOnceAChunk) {
  const TokenWork work = SomeWork();
  // A chunk of 512 touches all 16 experts of a layer.
  const PrefillShape shape = {.n_tokens = 1024, .chunk = 512, .resident_share = 0.25};
  const PrefillCost cost = CostOfPrefill(work, SomeSpeed(), shape);
  EXPECT_EQ(cost.n_chunks, 2U);
  EXPECT_NEAR(cost.chunk_read_bytes, 4 * 12 * 3 * kMega, 1);
  EXPECT_NEAR(cost.read_bytes, 2 * cost.chunk_read_bytes, 1);
  PrefillShape cold = shape;
  cold.is_cold = true;
  EXPECT_NEAR(CostOfPrefill(work, SomeSpeed(), cold).read_bytes, 4 * (16 + 12) * 3 * kMega, 1);
  PrefillShape halves = shape;
  halves.chunk = 256;
  EXPECT_NEAR(CostOfPrefill(work, SomeSpeed(), halves).read_bytes, 2 * cost.read_bytes, 1);
}

TEST(CostOfPrefill, WaitsForWhatArithmeticDoesNotHide) {
  const TokenWork work = SomeWork();
  const PrefillShape shape = {.n_tokens = 512, .chunk = 512};
  const PrefillCost cost = CostOfPrefill(work, SomeSpeed(), shape);
  const double layer = 512 * 2 * 3e6 / (1e11 * kPrefillShareOfPeak);  // 0.0512, above the memory's
  EXPECT_NEAR(cost.compute_seconds, 512 * 1e8 / (1e11 * kPrefillShareOfPeak) + 4 * layer, 1e-9);
  EXPECT_NEAR(cost.waiting_seconds, 0, 1e-9);  // 48 MB take 0.048 s
  MachineSpeed slow = SomeSpeed();
  slow.disk.sustained = 0.5e9;
  EXPECT_NEAR(CostOfPrefill(work, slow, shape).waiting_seconds, 4 * (0.096 - layer), 1e-9);
}

TEST(CostOfPrefill, TouchesFewExpertsWithFewTokens) {
  const PrefillCost one = CostOfPrefill(SomeWork(), SomeSpeed(), {.n_tokens = 1, .chunk = 512});
  EXPECT_NEAR(one.read_bytes, 8 * 3 * kMega, 1);
}

TEST(BoundOfPass, TakesTheLargerOfReadingAndArithmeticInEachLayer) {
  const std::vector<LayerPass> layers = {{2, 0}, {2, 2}, {2, 1}, {2, 0}};
  EXPECT_NEAR(BoundOfPass(SomeWork(), SomeSpeed(), 1, layers),
              0.012 + 0.0006 + 0.006 + 0.003 + 0.0006, 1e-12);
  // A prompt of 512 tokens: 0.512 s of dense arithmetic, and a layer's 0.03072 against 0.048.
  const std::vector<LayerPass> prompt = {{16, 0}, {16, 16}, {16, 8}, {16, 10}};
  EXPECT_NEAR(BoundOfPass(SomeWork(), SomeSpeed(), 512, prompt),
              0.512 + 0.03072 + 0.048 + 0.03072 + 0.03072, 1e-9);
}

}  // namespace
}  // namespace plimsoll::engine
