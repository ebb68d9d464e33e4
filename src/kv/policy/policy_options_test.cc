#include "kv/policy/policy_options.h"

#include <gtest/gtest.h>

#include "kv/policy/policy_type.h"

namespace plimsoll::kv::policy {
namespace {

using tensor::KvType;

BlockLayout LayersOf(size_t n, KvType type) {
  return BlockLayout(std::vector<BlockLayout::Layer>(
      n, {.n_kv_heads = 4, .head_dim_k = 64, .head_dim_v = 64, .type = type, .n_heads = 8}));
}

PolicyOptions Arkv(const SizeSpec& budget) { return {.kind = PolicyKind::kArkv, .budget = budget}; }

TEST(PolicyTypes, EachIsFoundByItsName) {
  for (size_t i = 0; i < kNPolicyKinds; ++i) {
    const auto kind = static_cast<PolicyKind>(i);
    EXPECT_EQ(ParsePolicy(NameOf(kind)).value(), kind);
    const PolicyType& type = TypeOf(kind);
    EXPECT_EQ(type.plan != nullptr, kind != PolicyKind::kFull) << type.name;
    EXPECT_EQ(type.make != nullptr, kind != PolicyKind::kFull) << type.name;
    EXPECT_TRUE(type.is_scored || !type.has_patch) << type.name;
  }
  const auto unknown = ParsePolicy("best");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "\"best\" is not one of full, window, block, snap, arkv, episode");
}

TEST(ArkvBudget, IsNeverPassedAndLeavesNoBlockUnused) {
  constexpr uint32_t kContext = 4096;
  for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
    const BlockLayout layout = LayersOf(8, type);
    for (uint64_t n = 1; n < 300; n += 3) {
      const uint64_t bytes = n * layout.block_bytes() + 7;
      const auto made = MakeEviction(Arkv({.bytes = bytes}), layout, kContext);
      if (!made) {
        EXPECT_EQ(made.error().option, "budget");
        ASSERT_LT(n, 30U);
        continue;
      }
      const Eviction& eviction = **made;
      const uint64_t n_all = eviction.budget() + BlocksBeside(layout, *made);
      ASSERT_LE(n_all * layout.block_bytes(), bytes);
      ASSERT_LE(eviction.budget(), kContext / kBlockTokens);
      ASSERT_GE(eviction.n_originals(), Eviction::kLeastOriginals);
      ASSERT_LE(eviction.n_originals(), eviction.budget());
      ASSERT_GE(eviction.n_originals(), eviction.budget() / 4);
      if (eviction.n_originals() < eviction.budget()) {
        // What is left over is less than a place of every layer and the block that it is for.
        ASSERT_GT((n_all + 1 + layout.BlocksForOriginals(1) + 1) * layout.block_bytes(), bytes);
      }
    }
  }
}

TEST(ArkvBudget, AShareIsOfTheContextInSixteenBits) {
  for (const KvType type : {KvType::kQ8, KvType::kQ4}) {
    const BlockLayout layout = LayersOf(8, type);
    const uint64_t whole = 128 * LayersOf(8, KvType::kF16).block_bytes();
    EXPECT_EQ(layout.whole_block_bytes() * 128, whole);
    const auto by_share = MakeEviction(Arkv({.percent = 25}), layout, 4096);
    const auto by_bytes = MakeEviction(Arkv({.bytes = whole / 4}), layout, 4096);
    ASSERT_TRUE(by_share && by_bytes);
    EXPECT_EQ((*by_share)->budget(), (*by_bytes)->budget());
    EXPECT_EQ((*by_share)->n_originals(), (*by_bytes)->n_originals());
  }
}

TEST(ArkvBudget, WhatCannotBeIsRefusedByName) {
  const auto problem = [](const BlockLayout& layout) {
    const auto made = MakeEviction(Arkv({.percent = 50}), layout, 4096);
    EXPECT_FALSE(made);
    return made.error().option == "policy" ? made.error().text : made.error().option.data();
  };
  EXPECT_NE(
      problem(LayersOf(8, KvType::kF16)).find("can't be arkv where keys and values are in 16"),
      std::string::npos);
  // A quarter of a layer in 16 bits has no room in a block of two in four bits.
  EXPECT_NE(problem(LayersOf(2, KvType::kQ4)).find("too few layers"), std::string::npos);
  EXPECT_TRUE(MakeEviction(Arkv({.percent = 50}), LayersOf(2, KvType::kQ8), 4096));
}

}  // namespace
}  // namespace plimsoll::kv::policy
