// Every set gives the bits of `ref` in attention, whichever tokens come together.
#include <algorithm>
#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "kernels/half.h"
#include "kernels/kv_panels.h"
#include "kernels/ref/ref.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using testing::Buffer;
using testing::Random;

struct HeadShape {
  uint32_t k = 0;
  uint32_t v = 0;
};
constexpr HeadShape kHeads[] = {{40, 40},   {64, 64},   {80, 80}, {96, 96}, {112, 112}, {128, 128},
                                {192, 128}, {256, 256}, {16, 24}, {33, 17}, {576, 512}};
constexpr uint16_t kF16Nan = 0x7E00;
constexpr size_t kF16Offset = 64;
constexpr size_t kGap = 3;  // floats between the rows of one token and the next one's

// Keys, values, queries and everything else of one call.
class Problem {
 public:
  Problem(Random& random, HeadShape head, uint32_t n_tokens, uint32_t n_group, uint32_t n_slots)
      : q_(testing::RandomFloats(random, n_tokens * (size_t{n_group} * head.k + kGap))),
        sinks_(n_group),
        visible(n_tokens, {.begin = 0, .end = n_slots}) {
    const uint32_t n_blocks = (n_slots + kKvBlockTokens - 1) / kKvBlockTokens;
    const size_t k_bytes = size_t{kKvBlockTokens} * head.k * 2;
    const size_t v_bytes = size_t{kKvBlockTokens} * head.v * 2;
    for (float& sink : sinks_) {
      sink = random.Symmetric() * 8;
    }
    args.n_tokens = n_tokens;
    args.n_group = n_group;
    args.head_dim_k = head.k;
    args.head_dim_v = head.v;
    args.q = q_.data();
    args.q_stride = size_t{n_group} * head.k + kGap;
    args.out_stride = size_t{n_group} * head.v + kGap;
    args.scale = 0.125F;
    args.k_offset = 64;
    args.v_offset = 64 + k_bytes;
    args.k_stride = size_t{head.k} * 2;
    args.v_stride = size_t{head.v} * 2;
    for (uint32_t b = 0; b < n_blocks; ++b) {
      memory_.emplace_back(64 + k_bytes + v_bytes);
      auto* halves = memory_.back().as<uint16_t>();
      for (size_t i = 0; i < (64 + k_bytes + v_bytes) / 2; ++i) {
        halves[i] = testing::AnyF16(random);
      }
      blocks_.push_back(memory_.back().data());
    }
    args.blocks = blocks_.data();
  }

  // As in a prompt: the last token sees everything, the one before it one slot less.
  void MakeCausal(uint32_t window) {
    for (uint32_t t = 0; t < args.n_tokens; ++t) {
      VisibleSlots& v = visible[t];
      v.end = v.end > args.n_tokens - 1 - t ? v.end - (args.n_tokens - 1 - t) : 0;
      v.begin = window == 0 || v.end < window ? 0 : v.end - window;
    }
  }

  // Each token sees an arbitrary set.
  void MakeTree(Random& random) {
    for (VisibleSlots& v : visible) {
      auto& mask = masks_.emplace_back(blocks_.size());
      for (uint32_t& bits : mask) {
        bits = random.OneIn(4) ? 0 : random.OneIn(3) ? ~0U : random.Bits();
      }
      v.mask = mask.data();
    }
  }

  // What lies in invisible slots must not matter, not even NaN.
  void PoisonInvisible() {
    for (uint32_t slot = 0; slot < blocks_.size() * kKvBlockTokens; ++slot) {
      if (!std::ranges::any_of(visible, [&](const VisibleSlots& v) { return Sees(v, slot); })) {
        Poison(slot);
      }
    }
  }
  void Poison(uint32_t slot) {
    std::byte* block = memory_[slot / kKvBlockTokens].data();
    const uint32_t i = slot % kKvBlockTokens;
    Fill(block + args.k_offset + i * args.k_stride, args.head_dim_k);
    Fill(block + args.v_offset + i * args.v_stride, args.head_dim_v);
  }
  // Values are 0, but 1 in one slot. With head_dim_v of 1.
  void OnlyValue(uint32_t slot) {
    for (uint32_t s = 0; s < blocks_.size() * kKvBlockTokens; ++s) {
      const uint16_t value = FloatToF16(s == slot ? 1.0F : 0.0F);
      std::memcpy(
          memory_[s / kKvBlockTokens].data() + args.v_offset + (s % kKvBlockTokens) * args.v_stride,
          &value, sizeof(value));
    }
  }
  // Calls that touch blocks which no token sees a slot of die.
  void HideBlock(uint32_t block) { blocks_[block] = nullptr; }

  // As in absorbed MLA: the values are the keys from dimension `first` on.
  void ValuesAreKeys(uint32_t first) {
    args.v_offset = args.k_offset + size_t{first} * 2;
    args.v_stride = args.k_stride;
  }

  // Quantizes all blocks but the last, which the tokens are in, as a sequence has them; and but
  // some others, one in `n_to_one`, of which the F16 form is elsewhere.
  void Quantize(Random& random, tensor::KvType type, bool values_in_keys, uint32_t n_to_one) {
    using tensor::KvContent;
    const tensor::KvPanel keys = {type, values_in_keys ? KvContent::kLatents : KvContent::kKeys,
                                  args.head_dim_k};
    const tensor::KvPanel values = {type, KvContent::kValues, args.head_dim_v};
    args.type = type;
    args.values_in_keys = values_in_keys;
    args.k_offset = 32;
    args.v_offset = values_in_keys ? args.k_offset : args.k_offset + keys.bytes();
    std::vector<Buffer> panels;
    std::vector<const std::byte*> blocks;
    for (size_t b = 0; b < blocks_.size(); ++b) {
      Buffer rows = F16Rows(random, args.head_dim_k);
      Buffer value_rows = F16Rows(random, args.head_dim_v);
      if (b + 1 == blocks_.size() || (n_to_one > 0 && random.OneIn(n_to_one))) {
        f16_keys_.push_back(panels.emplace_back(BehindGap(rows)).data());
        f16_values_.push_back(values_in_keys ? f16_keys_.back()
                                             : panels.emplace_back(BehindGap(value_rows)).data());
        blocks.push_back(nullptr);
        continue;
      }
      f16_keys_.push_back(nullptr);
      f16_values_.push_back(nullptr);
      std::byte* panel = panels.emplace_back(args.k_offset + keys.bytes() + values.bytes()).data();
      QuantizePanel(keys, rows.as<uint16_t>(), panel + args.k_offset);
      if (!values_in_keys) {
        QuantizePanel(values, value_rows.as<uint16_t>(), panel + args.v_offset);
      }
      blocks.push_back(panel);
    }
    memory_ = std::move(panels);
    blocks_ = std::move(blocks);
    args.blocks = blocks_.data();
    const uint32_t first = n_to_one > 0 ? 0 : static_cast<uint32_t>(blocks_.size() - 1);
    args.f16 = {.first = first,
                .n = static_cast<uint32_t>(blocks_.size()) - first,
                .keys = f16_keys_.data() + first,
                .values = f16_values_.data() + first,
                .k_offset = kF16Offset,
                .v_offset = kF16Offset,
                .value_stride = size_t{values_in_keys ? args.head_dim_k : args.head_dim_v} * 2};
  }

  void UseSinks() { args.sinks = sinks_.data(); }

  // In one call, or in one for each token.
  [[nodiscard]] Buffer Run(const KernelSet& set) const { return Run(set, args.n_tokens); }
  [[nodiscard]] Buffer Run(const KernelSet& set, uint32_t tokens_per_call) const {
    Buffer out = Out();
    const Buffer workspace(set.attention_workspace_bytes(args.head_dim_k, args.head_dim_v));
    for (uint32_t t = 0; t < args.n_tokens; t += tokens_per_call) {
      AttentionArgs call = args;
      call.n_tokens = std::min(tokens_per_call, args.n_tokens - t);
      call.q += t * args.q_stride;
      call.out = out.as<float>() + t * args.out_stride;
      call.visible = visible.data() + t;
      call.workspace = workspace.data();
      set.attention(&call, 1);
    }
    return out;
  }

  // The call of all tokens, with a place for what they get.
  [[nodiscard]] AttentionArgs CallInto(const Buffer& out, const Buffer& workspace) const {
    AttentionArgs call = args;
    call.visible = visible.data();
    call.out = out.as<float>();
    call.workspace = workspace.data();
    return call;
  }
  [[nodiscard]] Buffer Out() const {
    return Buffer(args.n_tokens * args.out_stride * sizeof(float));
  }

  // What attention weighs the slots with, in whole blocks.
  [[nodiscard]] std::vector<float> Weights(const KernelSet& set) const {
    std::vector<float> sums(blocks_.size() * kKvBlockTokens);
    const Buffer workspace(set.attention_workspace_bytes(args.head_dim_k, args.head_dim_v));
    AttentionArgs call = args;
    call.visible = visible.data();
    call.workspace = workspace.data();
    set.attention_weights(call, sums.data());
    return sums;
  }

 private:
  static Buffer F16Rows(Random& random, uint32_t dim) {
    Buffer rows(size_t{kKvBlockTokens} * dim * 2);
    for (size_t i = 0; i < rows.size() / 2; ++i) {
      rows.as<uint16_t>()[i] = FloatToF16(random.Symmetric() * static_cast<float>(i % dim % 7));
    }
    return rows;
  }
  static Buffer BehindGap(const Buffer& rows) {
    Buffer behind(kF16Offset + rows.size());
    std::memcpy(behind.data() + kF16Offset, rows.data(), rows.size());
    return behind;
  }
  static bool Sees(const VisibleSlots& v, uint32_t slot) {
    return slot >= v.begin && slot < v.end &&
           (v.mask == nullptr || (v.mask[slot / 32] >> (slot % 32) & 1) != 0);
  }
  static void Fill(std::byte* row, uint32_t n) {
    for (uint32_t j = 0; j < n; ++j) {
      std::memcpy(row + size_t{j} * 2, &kF16Nan, 2);
    }
  }

  std::vector<float> q_;
  std::vector<float> sinks_;
  std::vector<std::vector<uint32_t>> masks_;
  std::vector<Buffer> memory_;
  std::vector<const std::byte*> blocks_;
  std::vector<const std::byte*> f16_keys_, f16_values_;

 public:
  AttentionArgs args;  // without `visible`, `out` and `workspace`
  std::vector<VisibleSlots> visible;
};

class AttentionEquality : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!GetParam()->supported()) {
      GTEST_SKIP() << GetParam()->name << " does not run on this CPU";
    }
  }

  // The first n floats, whose gaps between tokens must be untouched.
  static void ExpectSame(const Buffer& got, const Buffer& want, size_t n, const std::string& what) {
    for (size_t i = 0; i < n; ++i) {
      ASSERT_EQ(std::memcmp(got.as<float>() + i, want.as<float>() + i, sizeof(float)), 0)
          << what << ", element " << i << ": " << got.as<float>()[i] << " instead of "
          << want.as<float>()[i];
    }
  }

  static void Check(const Problem& problem, const std::string& what) {
    const Buffer want = problem.Run(ref::kKernelSet);
    const size_t n = want.size() / sizeof(float);
    ExpectSame(problem.Run(*GetParam()), want, n, what);
    const std::vector<float> weights = problem.Weights(ref::kKernelSet);
    ASSERT_EQ(problem.Weights(*GetParam()), weights) << what << ", weights";
    if (problem.args.n_tokens > 1) {
      ExpectSame(problem.Run(*GetParam(), 1), want, n, what + ", token by token");
    }
  }
};

TEST_P(AttentionEquality, EveryHeadShapeAndGroup) {
  Random random(11);
  for (const HeadShape head : kHeads) {
    for (const uint32_t n_group : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 16U}) {
      Problem problem(random, head, 1, n_group, 77);
      problem.args.scale = 1.0F / 16;
      problem.PoisonInvisible();
      Check(problem, "head " + std::to_string(head.k) + "/" + std::to_string(head.v) + ", group " +
                         std::to_string(n_group));
    }
  }
}

// From less than a tile's rows to more, tokens that begin anywhere in a block, tails of all kinds.
TEST_P(AttentionEquality, TilesOfAPrompt) {
  Random random(15);
  for (const HeadShape head : kHeads) {
    for (int i = 0; i < 6; ++i) {
      const uint32_t n_group = random.Between(1, 5);
      const uint32_t n_tokens = random.Between(2, head.k > 256 ? 20 : 80);
      Problem problem(random, head, n_tokens, n_group, n_tokens + random.Below(60));
      const uint32_t window = random.OneIn(2) ? 0 : random.Between(1, 70);
      problem.MakeCausal(window);
      if (random.OneIn(3)) {
        problem.UseSinks();
      }
      problem.PoisonInvisible();
      Check(problem, "head " + std::to_string(head.k) + "/" + std::to_string(head.v) + ", group " +
                         std::to_string(n_group) + ", " + std::to_string(n_tokens) + " tokens");
    }
  }
}

TEST_P(AttentionEquality, RandomVisibility) {
  Random random(12);
  for (int i = 0; i < 200; ++i) {
    const HeadShape head = kHeads[random.Below(std::size(kHeads) - 1)];
    const uint32_t n_slots = random.Between(1, 150);
    Problem problem(random, head, random.OneIn(2) ? 1 : random.Between(1, 24), random.Between(1, 6),
                    n_slots);
    problem.args.scale = random.OneIn(4) ? 2.0F : 0.125F;  // 2: most exps underflow to 0
    problem.args.logit_softcap = random.OneIn(3) ? 30.0F : 0.0F;
    for (VisibleSlots& v : problem.visible) {
      v.begin = random.OneIn(2) ? 0 : random.Below(n_slots);
      v.end = random.OneIn(2) ? n_slots : random.Between(v.begin, n_slots);
    }
    if (random.OneIn(2)) {
      problem.MakeTree(random);
    }
    if (random.OneIn(3)) {
      problem.UseSinks();
    }
    problem.PoisonInvisible();
    Check(problem, "case " + std::to_string(i));
  }
}

TEST_P(AttentionEquality, ValuesThatAreAViewOfTheKeys) {
  Random random(14);
  struct View {
    HeadShape head;
    uint32_t n_tokens;
    uint32_t n_group;
    uint32_t first;
  };
  for (const View view : {View{{576, 512}, 1, 128, 0}, View{{576, 512}, 2, 40, 0},
                          View{{576, 512}, 1, 5, 64}, View{{40, 33}, 9, 3, 7}}) {
    Problem problem(random, view.head, view.n_tokens, view.n_group, 70);
    problem.args.scale = 0.0625F;
    problem.MakeCausal(65);
    problem.ValuesAreKeys(view.first);
    problem.PoisonInvisible();
    Check(problem, "group " + std::to_string(view.n_group));
  }
}

TEST_P(AttentionEquality, BlocksInBFloat16) {
  Random random(18);
  for (const HeadShape head : kHeads) {
    Problem problem(random, head, 3, random.Between(1, 9), 90);
    problem.MakeCausal(0);
    problem.args.type = tensor::KvType::kBF16;
    problem.args.scale = 0x1p-100F;  // any 16 bits are a number, and some are large
    problem.PoisonInvisible();
    Check(problem, "head " + std::to_string(head.k) + "/" + std::to_string(head.v));
  }
}

// Few rows, which read codes, and many, which read floats; heads that do not fill a group; whatever
// hides slots or bends scores.
TEST_P(AttentionEquality, QuantizedBlocksBesideOthersInF16) {
  Random random(19);
  for (const tensor::KvType type : {tensor::KvType::kQ8, tensor::KvType::kQ4}) {
    for (int i = 0; i < 160; ++i) {
      const bool values_in_keys = random.OneIn(4);
      const HeadShape head = kHeads[random.Below(std::size(kHeads) - (values_in_keys ? 0 : 1))];
      if (values_in_keys && head.v > head.k) {
        continue;
      }
      const uint32_t n_tokens = random.OneIn(2) ? 1 : random.Between(2, 20);
      const uint32_t n_slots = random.Between(n_tokens, 150);
      Problem problem(random, head, n_tokens, random.Between(1, 9), n_slots);
      problem.args.scale = random.OneIn(4) ? 2.0F : 0.0625F;
      problem.args.logit_softcap = random.OneIn(3) ? 30.0F : 0.0F;
      problem.MakeCausal(random.OneIn(2) ? 0 : random.Between(1, 70));
      if (random.OneIn(3)) {
        problem.MakeTree(random);
      }
      if (random.OneIn(3)) {
        problem.UseSinks();
      }
      problem.Quantize(random, type, values_in_keys, random.Below(4));
      Check(problem, std::string(NameOf(type)) + ", case " + std::to_string(i) + ", head " +
                         std::to_string(head.k) + "/" + std::to_string(head.v));
    }
  }
}

// Every row gives away 1 in all, less what its sink takes; and what it gives a slot is what a value
// of 1 in that slot would bring.
TEST_P(AttentionEquality, WeightsAreWhatValuesAreTakenWith) {
  Random random(20);
  for (const bool has_sinks : {false, true}) {
    constexpr uint32_t kSlots = 80;
    Problem problem(random, {64, 1}, 7, 3, kSlots);
    problem.MakeCausal(0);
    if (has_sinks) {
      problem.UseSinks();
    }
    const std::vector<float> weights = problem.Weights(*GetParam());
    double all = 0;
    for (uint32_t slot = 0; slot < kSlots; ++slot) {
      problem.OnlyValue(slot);
      const Buffer out = problem.Run(*GetParam());
      double taken = 0;
      for (uint32_t t = 0; t < 7; ++t) {
        for (uint32_t h = 0; h < 3; ++h) {
          taken += out.as<float>()[t * problem.args.out_stride + h];
        }
      }
      ASSERT_NEAR(weights[slot], taken, 1e-5) << slot;
      all += weights[slot];
    }
    if (has_sinks) {
      EXPECT_LT(all, 20.9);
    } else {
      EXPECT_NEAR(all, 21, 1e-4);
    }
  }
}

// A token of a tile does not notice what only the later ones see.
TEST_P(AttentionEquality, LaterTokensDoNotMatter) {
  Random random(16);
  constexpr uint32_t kTokens = 21;
  for (const uint32_t n_group : {1U, 3U}) {
    Problem problem(random, {64, 48}, kTokens, n_group, 50);
    problem.MakeCausal(0);
    const Buffer want = problem.Run(*GetParam());
    for (uint32_t left = 1; left < kTokens; ++left) {
      problem.Poison(50 - left);
      ExpectSame(problem.Run(*GetParam()), want, (kTokens - left) * problem.args.out_stride,
                 "all but the last " + std::to_string(left));
    }
  }
}

// Few rows and more than go together, in F16 and quantized, of heads that see different slots.
TEST_P(AttentionEquality, HeadsTogetherGetWhatEachGets) {
  Random random(21);
  for (int i = 0; i < 20; ++i) {
    const uint32_t n_heads = random.Between(2, 9);
    const uint32_t n_tokens = random.OneIn(2) ? 1 : random.Between(2, 9);
    const HeadShape shape = {64, 48};
    std::vector<Problem> problems;
    std::vector<Buffer> outs;
    std::vector<AttentionArgs> calls;
    const Buffer workspace(GetParam()->attention_workspace_bytes(shape.k, shape.v));
    problems.reserve(n_heads);
    for (uint32_t h = 0; h < n_heads; ++h) {
      Problem& problem = problems.emplace_back(random, shape, n_tokens, random.Between(1, 5),
                                               random.Between(n_tokens, 150));
      problem.args.scale = 0.125F;
      problem.MakeCausal(random.OneIn(2) ? 0 : random.Between(1, 70));
      if (random.OneIn(2)) {
        problem.Quantize(random, tensor::KvType::kQ8, false, random.Below(4));
      }
      if (random.OneIn(3)) {
        problem.UseSinks();
      }
      calls.push_back(problem.CallInto(outs.emplace_back(problem.Out()), workspace));
    }
    GetParam()->attention(calls.data(), calls.size());
    for (uint32_t h = 0; h < n_heads; ++h) {
      ExpectSame(outs[h], problems[h].Run(ref::kKernelSet), outs[h].size() / sizeof(float),
                 "case " + std::to_string(i) + ", head " + std::to_string(h));
    }
  }
}

TEST_P(AttentionEquality, BlocksThatNoTokenSeesAreNotTouched) {
  Random random(17);
  Problem problem(random, {64, 64}, 5, 2, 200);
  problem.MakeCausal(60);  // slots 136 and on
  std::vector<uint32_t> mask(7, ~0U);
  mask[5] = 0;
  for (VisibleSlots& v : problem.visible) {
    v.mask = mask.data();
  }
  for (const uint32_t hidden : {0U, 1U, 2U, 3U, 5U}) {
    problem.HideBlock(hidden);
  }
  Check(problem, "window and mask");
}

TEST_P(AttentionEquality, NothingVisibleGivesZeros) {
  Random random(13);
  Problem problem(random, {64, 64}, 3, 2, 40);
  for (VisibleSlots& v : problem.visible) {
    v.begin = v.end;
  }
  const Buffer out = problem.Run(*GetParam());
  for (size_t t = 0; t < 3; ++t) {
    for (size_t i = 0; i < 128; ++i) {
      ASSERT_EQ(out.as<float>()[t * problem.args.out_stride + i], 0.0F);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionEquality,
                         ::testing::ValuesIn(AllKernelSets().begin(), AllKernelSets().end()),
                         testing::SetName<::testing::TestParamInfo<const KernelSet*>>);

}  // namespace
}  // namespace plimsoll::kernels
