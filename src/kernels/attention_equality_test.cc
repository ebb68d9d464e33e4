// Every set gives the bits of `ref` in attention.
#include <limits>
#include <string>

#include <gtest/gtest.h>

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

// Keys, values, queries and everything else of one call.
class Problem {
 public:
  Problem(Random& random, HeadShape head, uint32_t n_group, uint32_t n_slots)
      : q_(testing::RandomFloats(random, size_t{n_group} * head.k)),
        sinks_(n_group),
        mask_(n_slots / 32 + 1) {
    const uint32_t n_blocks = (n_slots + kKvBlockTokens - 1) / kKvBlockTokens;
    const size_t k_bytes = size_t{kKvBlockTokens} * head.k * 2;
    const size_t v_bytes = size_t{kKvBlockTokens} * head.v * 2;
    for (float& sink : sinks_) {
      sink = random.Symmetric() * 8;
    }
    for (uint32_t& bits : mask_) {
      bits = random.OneIn(4) ? 0 : random.OneIn(3) ? ~0U : random.Bits();
    }
    args.q = q_.data();
    args.n_group = n_group;
    args.head_dim_k = head.k;
    args.head_dim_v = head.v;
    args.k_offset = 64;
    args.v_offset = 64 + k_bytes;
    args.k_stride = size_t{head.k} * 2;
    args.v_stride = size_t{head.v} * 2;
    args.end = n_slots;
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

  // What lies in invisible slots must not matter, not even NaN.
  void PoisonInvisible() {
    for (uint32_t slot = 0; slot < blocks_.size() * kKvBlockTokens; ++slot) {
      const bool masked =
          args.mask != nullptr && slot < args.end && (args.mask[slot / 32] >> (slot % 32) & 1) == 0;
      if (slot >= args.begin && slot < args.end && !masked) {
        continue;
      }
      std::byte* block = memory_[slot / kKvBlockTokens].data();
      const uint32_t i = slot % kKvBlockTokens;
      Fill(block + args.k_offset + i * args.k_stride, args.head_dim_k);
      Fill(block + args.v_offset + i * args.v_stride, args.head_dim_v);
    }
  }

  // As in absorbed MLA: the values are the keys from dimension `first` on.
  void ValuesAreKeys(uint32_t first) {
    args.v_offset = args.k_offset + size_t{first} * 2;
    args.v_stride = args.k_stride;
  }

  void UseMask() { args.mask = mask_.data(); }
  void UseSinks() { args.sinks = sinks_.data(); }

  Buffer Run(const KernelSet& set) {
    Buffer out((size_t{args.n_group} * args.head_dim_v + 4) * sizeof(float));
    args.out = out.as<float>();
    set.attention(args);
    return out;
  }

  AttentionArgs args;

 private:
  static void Fill(std::byte* row, uint32_t n) {
    for (uint32_t j = 0; j < n; ++j) {
      std::memcpy(row + size_t{j} * 2, &kF16Nan, 2);
    }
  }

  std::vector<float> q_;
  std::vector<float> sinks_;
  std::vector<uint32_t> mask_;
  std::vector<Buffer> memory_;
  std::vector<const std::byte*> blocks_;
};

class AttentionEquality : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!GetParam()->supported()) {
      GTEST_SKIP() << GetParam()->name << " does not run on this CPU";
    }
  }

  static void Check(Problem& problem, const std::string& what) {
    const Buffer want = problem.Run(ref::kKernelSet);
    const Buffer got = problem.Run(*GetParam());
    for (size_t i = 0; i < want.size() / sizeof(float); ++i) {
      ASSERT_EQ(std::memcmp(got.as<float>() + i, want.as<float>() + i, sizeof(float)), 0)
          << what << ", element " << i << ": " << got.as<float>()[i] << " instead of "
          << want.as<float>()[i];
    }
  }
};

TEST_P(AttentionEquality, EveryHeadShapeAndGroup) {
  Random random(11);
  for (const HeadShape head : kHeads) {
    for (const uint32_t n_group : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 16U}) {
      Problem problem(random, head, n_group, 77);
      problem.args.scale = 1.0F / 16;
      problem.PoisonInvisible();
      Check(problem, "head " + std::to_string(head.k) + "/" + std::to_string(head.v) + ", group " +
                         std::to_string(n_group));
    }
  }
}

TEST_P(AttentionEquality, RandomVisibility) {
  Random random(12);
  for (int i = 0; i < 150; ++i) {
    const HeadShape head = kHeads[random.Below(std::size(kHeads) - 1)];
    const uint32_t n_slots = random.Between(1, 150);
    Problem problem(random, head, random.Between(1, 6), n_slots);
    problem.args.scale = random.OneIn(4) ? 2.0F : 0.125F;  // 2: most exps underflow to 0
    problem.args.begin = random.OneIn(2) ? 0 : random.Below(n_slots);
    problem.args.logit_softcap = random.OneIn(3) ? 30.0F : 0.0F;
    if (random.OneIn(2)) {
      problem.UseMask();
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
    uint32_t n_group;
    uint32_t first;
  };
  for (const View view :
       {View{{576, 512}, 128, 0}, View{{576, 512}, 5, 64}, View{{40, 33}, 3, 7}}) {
    Problem problem(random, view.head, view.n_group, 70);
    problem.args.scale = 0.0625F;
    problem.args.begin = 3;
    problem.ValuesAreKeys(view.first);
    problem.PoisonInvisible();
    Check(problem, "group " + std::to_string(view.n_group));
  }
}

TEST_P(AttentionEquality, NothingVisibleGivesZeros) {
  Random random(13);
  Problem problem(random, {64, 64}, 2, 40);
  problem.args.begin = problem.args.end;
  const Buffer out = problem.Run(*GetParam());
  for (size_t i = 0; i < 128; ++i) {
    ASSERT_EQ(out.as<float>()[i], 0.0F);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AttentionEquality,
                         ::testing::ValuesIn(AllKernelSets().begin(), AllKernelSets().end()),
                         testing::SetName<::testing::TestParamInfo<const KernelSet*>>);

}  // namespace
}  // namespace plimsoll::kernels
