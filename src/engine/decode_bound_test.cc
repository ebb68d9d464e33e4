#include "engine/decode_bound.h"

#include <gtest/gtest.h>

namespace plimsoll::engine {
namespace {

// Two layers of 8 experts of which a token takes 2; memory gives 1000 bytes a second, the disk 100.
DecodeBound SomeBound() {
  const ExpertWork layer = {.expert_bytes = 50,
                            .read_bytes = 50,
                            .n_parts = 1,
                            .n_experts = 8,
                            .n_active = 2,
                            .multiply_adds = 1};
  return {.work = {.dense_bytes = 400, .kv_bytes = 100, .experts = {layer, layer}},
          .speed = {.memory = 1000,
                    .multiply_adds = 1e9,
                    .attention_multiply_adds = 1e9,
                    .disk = {.direct = true, .cells = {{50, 1, 100}}, .sustained = 100}}};
}

PagingSnapshot Paging(uint64_t wanted, uint64_t hits) {
  PagingSnapshot paging;
  paging.n_pages = 16;
  paging.n_frames = 4;
  memory::WantStats& decode = paging.pager.phases[static_cast<size_t>(memory::Phase::kDecode)];
  decode.wanted = wanted;
  decode.hits = hits;
  return paging;
}

TEST(DecodeBound, ResidentIsMemoryAlone) {
  const DecodeCost cost = SomeBound().Now(std::nullopt, std::nullopt);
  EXPECT_DOUBLE_EQ(cost.dense_seconds, 0.5);
  EXPECT_DOUBLE_EQ(cost.expert_seconds, 0.2);
  EXPECT_DOUBLE_EQ(cost.waiting_seconds, 0);
  EXPECT_DOUBLE_EQ(cost.misses, 0);
}

TEST(DecodeBound, TakesTheMissesThatDecodingHad) {
  EXPECT_DOUBLE_EQ(SomeBound().Now(Paging(100, 75), std::nullopt).misses, 1);
  PagingSnapshot guessed = Paging(100, 75);
  guessed.pager.prefetched_used = 25;
  EXPECT_DOUBLE_EQ(SomeBound().Now(guessed, std::nullopt).misses, 2);
  guessed.pager.prefetched_used = 1000;
  EXPECT_DOUBLE_EQ(SomeBound().Now(guessed, std::nullopt).misses, 4) << "no more than there are";
}

TEST(DecodeBound, BeforeTheFirstTokenEveryExpertIsAsLikely) {
  EXPECT_DOUBLE_EQ(SomeBound().Now(Paging(0, 0), std::nullopt).misses, 3);
}

TEST(DecodeBound, WhatIsStreamedIsReadForEveryToken) {
  const DecodeCost cost =
      SomeBound().Now(std::nullopt, StreamingSnapshot{.total_bytes = 400, .kept_bytes = 300});
  EXPECT_DOUBLE_EQ(cost.read_bytes, 100);
  EXPECT_DOUBLE_EQ(cost.seconds(), 0.5 + 0.2 + 0.5);
}

}  // namespace
}  // namespace plimsoll::engine
