#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "engine/prefix/prefix_tree.h"

namespace plimsoll::engine {
namespace {

model::ModelNeeds SomeNeeds() {
  return {.weights = {.weights = 100 * kMiB, .vocab = 50 * kMiB, .experts = 800 * kMiB},
          .weights_paged = {.weights = 100 * kMiB, .vocab = 50 * kMiB},
          .weights_streamed = {.weights = kMiB},
          .scratch = 30 * kMiB,
          .kv_block = kMiB};
}

TEST(MemoryPlan, CountsEveryPart) {
  const MemoryPlan plan = PlanResident(SomeNeeds(), 5 * kMiB, 1000);
  EXPECT_EQ(plan.vocab, 55 * kMiB);
  EXPECT_EQ(plan.kv, 32 * kMiB);  // 1000 tokens are 32 blocks
  EXPECT_EQ(plan.total(), plan.dense + plan.vocab + plan.experts + plan.kv + plan.scratch);
}

TEST(MemoryPlan, RefusesBelowWhatIsNeededAndSaysWhatWouldFit) {
  const LineNeeds needs = {
      .model = SomeNeeds(), .tokenizer_bytes = 0, .n_ctx = 4096, .experts = {}};
  const MemoryPlan plan = PlanResident(needs.model, 0, 4096);  // 128 MiB of KV
  EXPECT_TRUE(DivideLine(needs, plan.total()));
  const auto refused = DivideLine(needs, plan.total() - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("--memory 1109M"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("-c 2048"), std::string::npos) << refused.error().message;
}

TEST(MemoryPlan, OffersNoContextThatWouldNotFitEither) {
  const LineNeeds needs = {
      .model = SomeNeeds(), .tokenizer_bytes = 0, .n_ctx = 4096, .experts = {}};
  const auto refused = DivideLine(needs, 500 * kMiB);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message.find("-c "), std::string::npos) << refused.error().message;
}

TEST(MemoryPlan, CountsTheContextOfEverySequence) {
  LineNeeds needs = {.model = SomeNeeds(), .tokenizer_bytes = 0, .n_ctx = 1024, .experts = {}};
  const uint64_t one = DivideLeast(needs).parts.total();
  needs.n_parallel = 4;
  EXPECT_EQ(DivideLeast(needs).parts.kv, 4 * 32 * kMiB);
  EXPECT_EQ(DivideLeast(needs).parts.total(), one + 3 * 32 * kMiB);
  EXPECT_NE(DivideLine(needs, one).error().message.find("KV of 4 times 1024 tokens"),
            std::string::npos);
}

// 800 experts of a MiB; eight of a layer for a token.
LineNeeds SomeLineNeeds() {
  return {.model = SomeNeeds(),
          .tokenizer_bytes = 0,
          .n_ctx = 1024,
          .experts = {{.frame_bytes = kMiB + 4 * kKiB, .n_pages = 800, .n_active = 8}},
          .index = 2 * kMiB,
          .io = kMiB};
}

TEST(DivideLine, KeepsAllInMemoryWhereItFits) {
  const LineNeeds needs = SomeLineNeeds();
  const uint64_t all = PlanResident(needs.model, 0, needs.n_ctx).total();
  const auto division = DivideLine(needs, all);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->residence, Residence::kAll);
  EXPECT_EQ(division->parts.total(), all);
  EXPECT_EQ(division->parts.index, 0U);
  EXPECT_TRUE(division->experts.empty());
}

TEST(DivideLine, CountsTheTablesOfABatchersRequests) {
  LineNeeds needs = SomeLineNeeds();
  needs.n_parallel = 4;
  needs.sequence_index = 3200;
  const LineDivision alone = DivideLeast(needs);
  needs.batches = true;
  const LineDivision least = DivideLeast(needs);
  EXPECT_EQ(alone.parts.requests, 0U);
  EXPECT_EQ(least.parts.requests, prefix::PrefixTree::BytesFor(4 * 1024 / 32) + 4 * 3200);
  EXPECT_EQ(least.parts.total(), alone.parts.total() + least.parts.requests);
  EXPECT_EQ(DivideLine(needs, 2048 * kMiB)->parts.requests,
            prefix::PrefixTree::BytesFor(4 * 1024 / 32));
}

TEST(DivideLine, GivesTheExpertsTheWholeFramesThatAreLeft) {
  const LineNeeds needs = SomeLineNeeds();
  const auto division = DivideLine(needs, 500 * kMiB);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->residence, Residence::kPaged);
  ASSERT_EQ(division->experts.size(), 1U);
  const ExpertShare& share = division->experts[0];
  EXPECT_EQ(share.n_frames_min, 8U);
  EXPECT_LE(division->parts.total(), 500 * kMiB);
  EXPECT_GT(division->parts.total() + share.frame_bytes, 500 * kMiB);
  EXPECT_GE(division->parts.experts, share.bytes());
  EXPECT_EQ(division->parts.index, 2 * kMiB);
  EXPECT_EQ(division->parts.io, kMiB);
  // 500 - 100 - 50 - 32 (KV) - 30 - 3 = 285 MiB, less roundings
  EXPECT_EQ(share.n_frames, 283U);
}

TEST(DivideLine, RunsWithOneLayersExpertsAndNotWithLess) {
  const LineNeeds needs = SomeLineNeeds();
  const uint64_t least = DivideLeast(needs).parts.total();
  const auto division = DivideLine(needs, least);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->experts[0].n_frames, 8U);
  EXPECT_EQ(division->parts.total(), least);
  const auto refused = DivideLine(needs, least - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kDoesNotFit);
  EXPECT_NE(refused.error().message.find("--memory 224M (all of it would be in memory with 1013M)"),
            std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("-c 512"), std::string::npos) << refused.error().message;
}

TEST(DivideLine, GivesEveryClassTheSameShare) {
  LineNeeds needs = SomeLineNeeds();
  needs.experts = {{.frame_bytes = kMiB, .n_pages = 400, .n_active = 8},
                   {.frame_bytes = 2 * kMiB, .n_pages = 200, .n_active = 4}};
  for (const uint64_t line : {300 * kMiB, 500 * kMiB, 777 * kMiB, 1000 * kMiB}) {
    const auto division = DivideLine(needs, line);
    ASSERT_TRUE(division) << division.error().message;
    EXPECT_LE(division->parts.total(), line);
    const auto& shares = division->experts;
    ASSERT_EQ(shares.size(), 2U);
    EXPECT_NEAR(shares[0].n_frames, 2 * shares[1].n_frames, 3) << line;
    EXPECT_GT(division->parts.total() + kMiB, line);
  }
}

TEST(DivideLine, PagesAtMostEveryExpert) {
  LineNeeds needs = SomeLineNeeds();
  // Below what all weights take, but frames enough: where tensors come with much padding.
  needs.experts[0].frame_bytes = kMiB / 2;
  needs.model.weights.experts = 800 * kMiB;
  const auto division = DivideLine(needs, 900 * kMiB);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->experts[0].n_frames, 800U);
}

// The dense weights as 140 matrices of a MiB, of which two are used at once.
LineNeeds SomeStreamedNeeds() {
  LineNeeds needs = SomeLineNeeds();
  needs.stream = {.frame_bytes = std::vector<uint64_t>(140, kMiB),
                  .ring_bytes = 4 * kMiB,
                  .index = kMiB,
                  .io = kMiB};
  return needs;
}

TEST(DivideLine, StreamsDenseWeightsOnlyWhereTheyDoNotFit) {
  const LineNeeds needs = SomeStreamedNeeds();
  LineNeeds unstreamed = needs;
  unstreamed.stream = {};
  const uint64_t least_paged = DivideLeast(unstreamed).parts.total();
  EXPECT_EQ(DivideLine(needs, least_paged)->residence, Residence::kPaged);
  const auto division = DivideLine(needs, least_paged - 20 * kMiB);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->residence, Residence::kStreamed);
  EXPECT_LE(division->parts.total(), least_paged - 20 * kMiB);
  EXPECT_GT(division->parts.total() + kMiB, least_paged - 20 * kMiB);
  // What is kept has taken what the experts' least left.
  EXPECT_EQ(division->experts[0].n_frames, division->experts[0].n_frames_min);
  EXPECT_EQ(division->stream.total_bytes, 140 * kMiB);
  EXPECT_GT(division->stream.kept_bytes, 100 * kMiB);
  EXPECT_EQ(division->parts.dense,
            kMiB + division->stream.kept_bytes + division->stream.ring_bytes);
  EXPECT_EQ(division->parts.index, 3 * kMiB);
  EXPECT_EQ(division->parts.io, 2 * kMiB);
}

TEST(DivideLine, StreamsADenseModelDownToItsRing) {
  LineNeeds needs = SomeStreamedNeeds();
  needs.experts.clear();
  needs.model.weights.experts = 0;
  needs.index = needs.io = 0;
  const uint64_t least = DivideLeast(needs).parts.total();
  EXPECT_LT(least, 80 * kMiB);
  const auto division = DivideLine(needs, least);
  ASSERT_TRUE(division) << division.error().message;
  EXPECT_EQ(division->residence, Residence::kStreamed);
  EXPECT_EQ(division->stream.kept_bytes, 0U);
  EXPECT_EQ(division->stream.streamed_bytes(), 140 * kMiB);
  const auto refused = DivideLine(needs, least - 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("(to stream them through)"), std::string::npos)
      << refused.error().message;
}

TEST(DivideLine, HasNothingToPageInADenseModel) {
  LineNeeds needs = SomeLineNeeds();
  needs.experts.clear();
  const uint64_t all = PlanResident(needs.model, 0, needs.n_ctx).total();
  EXPECT_EQ(DivideLeast(needs).parts.total(), all);
  const auto refused = DivideLine(needs, all - 1);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("--memory 1013M"), std::string::npos)
      << refused.error().message;
}

TEST(ExpertClasses, CountLayersByTheSizeOfTheirFrames) {
  // Gate and up of 64 x 96 floats, 24 KiB: 32 KiB wherever they begin, with what may be over-read.
  formats::TensorEntry entry;
  entry.ranges = {{.file_idx = 0, .offset = 32, .bytes = 8 * 24 * kKiB}};
  const tensor::Matrix matrix = {.dtype = tensor::DType::kF32, .k = 64, .rows = 96};
  const tensor::Matrix small = {.dtype = tensor::DType::kF16, .k = 64, .rows = 96};
  model::ExpertLayer layer = {.n_experts = 8, .projections = {}};
  layer.projections.fill({.matrix = matrix, .entry = &entry});
  model::ExpertLayer other = layer;
  other.projections[2].matrix = small;
  model::HyperParams hp;
  hp.layers.resize(4, {.n_experts = 8, .n_experts_active = 2});
  hp.layers[3].n_experts_active = 3;
  const auto classes = ExpertClassesOf(std::vector{model::ExpertLayer(), layer, other, layer}, hp);
  ASSERT_EQ(classes.size(), 2U);
  EXPECT_EQ(classes[0].frame_bytes, (32 + 32 + 20) * kKiB);
  EXPECT_EQ(classes[0].n_pages, 8U);
  EXPECT_EQ(classes[0].n_active, 2U);
  EXPECT_EQ(classes[1].frame_bytes, 3 * 32 * kKiB);
  EXPECT_EQ(classes[1].n_pages, 16U);
  EXPECT_EQ(classes[1].n_active, 3U);
  EXPECT_EQ(classes[1].n_cycle, 5U);
}

}  // namespace
}  // namespace plimsoll::engine
