// Every set gives the bits of `ref` in the functions on vectors.
#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "kernels/ref/ref.h"
#include "kernels/test_data.h"

namespace plimsoll::kernels {
namespace {

using testing::Random;

class VectorEquality : public ::testing::TestWithParam<const KernelSet*> {
 protected:
  void SetUp() override {
    if (!set().supported()) {
      GTEST_SKIP() << set().name << " does not run on this CPU";
    }
  }
  static const KernelSet& set() { return *GetParam(); }
};

// Lengths around the vector widths, odd ones, and a long one.
constexpr uint64_t kLengths[] = {1,  2,  3,  7,  8,  9,  15, 16,  17,  31,   32,  33,
                                 40, 47, 48, 63, 64, 65, 95, 100, 255, 1023, 4097};

// What exp meets: ordinary values, its limits, subnormals, zeros of both signs.
float AnyExponent(Random& random) {
  switch (random.Below(6)) {
    case 0:
      return random.Symmetric() * 120;
    case 1:
      return (random.OneIn(2) ? 87.3F : 88.7F) * (random.OneIn(2) ? 1.0F : -1.0F) *
             (1 + random.Symmetric() * 0x1p-20F);
    case 2:
      return testing::AnyFloat(random);
    default:
      return random.Symmetric() * 10;
  }
}

std::vector<float> Exponents(Random& random, size_t n) {
  std::vector<float> x(n);
  for (float& v : x) {
    v = AnyExponent(random);
  }
  return x;
}

template <class T>
::testing::AssertionResult SameBits(const std::vector<T>& got, const std::vector<T>& want) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "element " << i << " of " << want.size() << ": "
                                           << got[i] << " instead of " << want[i];
    }
  }
  return ::testing::AssertionSuccess();
}

TEST_P(VectorEquality, RmsNorm) {
  Random random(1);
  for (const uint64_t n : kLengths) {
    for (const float factor : {1.0F, 1e-18F, 1e15F}) {
      auto x = testing::RandomFloats(random, n);
      for (float& v : x) {
        v *= factor;
      }
      const auto weight = testing::RandomFloats(random, n);
      std::vector<float> want(n);
      std::vector<float> got(n);
      ref::RmsNorm(x.data(), weight.data(), 1e-6F, n, want.data());
      set().rms_norm(x.data(), weight.data(), 1e-6F, n, got.data());
      EXPECT_TRUE(SameBits(got, want));
      set().rms_norm(x.data(), weight.data(), 1e-6F, n, x.data());
      EXPECT_TRUE(SameBits(x, want)) << "in place";
    }
  }
}

TEST_P(VectorEquality, SiluMul) {
  Random random(2);
  for (const uint64_t n : kLengths) {
    auto gate = Exponents(random, n);
    auto up = testing::RandomFloats(random, n);
    std::vector<float> want(n);
    std::vector<float> got(n);
    ref::SiluMul(gate.data(), up.data(), n, want.data());
    set().silu_mul(gate.data(), up.data(), n, got.data());
    EXPECT_TRUE(SameBits(got, want));
    auto in_place = gate;
    set().silu_mul(in_place.data(), up.data(), n, in_place.data());
    EXPECT_TRUE(SameBits(in_place, want)) << "over gate";
    set().silu_mul(gate.data(), up.data(), n, up.data());
    EXPECT_TRUE(SameBits(up, want)) << "over up";
  }
}

TEST_P(VectorEquality, SwigluClamped) {
  Random random(7);
  for (const uint64_t n : kLengths) {
    auto gate = Exponents(random, n);  // most of them beyond the limit on one side or the other
    auto up = Exponents(random, n);
    std::vector<float> want(n);
    std::vector<float> got(n);
    ref::SwigluClamped(gate.data(), up.data(), 1.702F, 7.0F, n, want.data());
    set().swiglu_clamped(gate.data(), up.data(), 1.702F, 7.0F, n, got.data());
    EXPECT_TRUE(SameBits(got, want));
    auto in_place = gate;
    set().swiglu_clamped(in_place.data(), up.data(), 1.702F, 7.0F, n, in_place.data());
    EXPECT_TRUE(SameBits(in_place, want)) << "over gate";
    set().swiglu_clamped(gate.data(), up.data(), 1.702F, 7.0F, n, up.data());
    EXPECT_TRUE(SameBits(up, want)) << "over up";
  }
}

TEST_P(VectorEquality, GeluMul) {
  Random random(8);
  for (const uint64_t n : kLengths) {
    auto gate = Exponents(random, n);
    auto up = testing::RandomFloats(random, n);
    std::vector<float> want(n);
    std::vector<float> got(n);
    ref::GeluMul(gate.data(), up.data(), n, want.data());
    set().gelu_mul(gate.data(), up.data(), n, got.data());
    EXPECT_TRUE(SameBits(got, want));
    auto in_place = gate;
    set().gelu_mul(in_place.data(), up.data(), n, in_place.data());
    EXPECT_TRUE(SameBits(in_place, want)) << "over gate";
    set().gelu_mul(gate.data(), up.data(), n, up.data());
    EXPECT_TRUE(SameBits(up, want)) << "over up";
  }
}

TEST_P(VectorEquality, AddAndAxpy) {
  Random random(3);
  for (const uint64_t n : kLengths) {
    const auto x = testing::RandomFloats(random, n);
    const auto y = testing::RandomFloats(random, n);
    auto want = y;
    auto got = y;
    ref::Add(x.data(), n, want.data());
    set().add(x.data(), n, got.data());
    EXPECT_TRUE(SameBits(got, want));
    ref::Axpy(0.3F, x.data(), n, want.data());
    set().axpy(0.3F, x.data(), n, got.data());
    EXPECT_TRUE(SameBits(got, want));
  }
}

TEST_P(VectorEquality, SoftmaxAndSigmoid) {
  Random random(4);
  for (const uint64_t n : kLengths) {
    const auto x = Exponents(random, n);
    auto want = x;
    auto got = x;
    ref::Softmax(want.data(), n);
    set().softmax(got.data(), n);
    EXPECT_TRUE(SameBits(got, want));
    want = x;
    got = x;
    ref::Sigmoid(want.data(), n);
    set().sigmoid(got.data(), n);
    EXPECT_TRUE(SameBits(got, want));
  }
}

TEST_P(VectorEquality, SigmoidMul) {
  Random random(9);
  for (const uint64_t n : kLengths) {
    auto gate = Exponents(random, n);
    const auto x = testing::RandomFloats(random, n);
    std::vector<float> want(n);
    ref::SigmoidMul(gate.data(), x.data(), n, want.data());
    set().sigmoid_mul(gate.data(), x.data(), n, gate.data());
    EXPECT_TRUE(SameBits(gate, want));
  }
}

TEST_P(VectorEquality, ShortConv) {
  Random random(10);
  for (const uint64_t n : kLengths) {
    for (const uint32_t width : {2U, 4U, 5U}) {
      const size_t stride = n + 3;
      const auto weights = testing::RandomFloats(random, width * stride);
      auto rows = testing::RandomFloats(random, width * n);
      std::vector<const float*> inputs;
      for (uint32_t j = 0; j < width; ++j) {
        inputs.push_back(rows.data() + j * n);
      }
      std::vector<float> want(n);
      ref::ShortConv(inputs.data(), weights.data(), width, stride, n, want.data());
      float* last = rows.data() + (width - 1) * n;
      set().short_conv(inputs.data(), weights.data(), width, stride, n, last);
      EXPECT_TRUE(SameBits(std::vector<float>(last, last + n), want)) << "over the newest";
    }
  }
}

TEST_P(VectorEquality, DeltaRule) {
  Random random(11);
  for (const uint32_t key_dim : {4U, 8U, 32U, 128U, 132U}) {
    const auto from = testing::RandomFloats(random, key_dim * kDeltaLanes);
    const auto query = testing::RandomFloats(random, key_dim);
    const auto key = testing::RandomFloats(random, key_dim);
    const auto value = testing::RandomFloats(random, kDeltaLanes);
    std::vector<float> want_out(kDeltaLanes);
    std::vector<float> got_out(kDeltaLanes);
    std::vector<float> want(from.size());
    std::vector<float> got(from.size());
    DeltaRuleArgs args = {.from = from.data(),
                          .to = want.data(),
                          .key_dim = key_dim,
                          .query = query.data(),
                          .key = key.data(),
                          .value = value.data(),
                          .decay = 0.93F,
                          .beta = 0.4F,
                          .out = want_out.data()};
    ref::DeltaRule(args);
    args.to = got.data();
    args.out = got_out.data();
    set().delta_rule(args);
    EXPECT_TRUE(SameBits(got, want));
    EXPECT_TRUE(SameBits(got_out, want_out));
    auto in_place = from;
    args.from = args.to = in_place.data();
    set().delta_rule(args);
    EXPECT_TRUE(SameBits(in_place, want)) << "in place";
  }
}

TEST_P(VectorEquality, ToF16) {
  Random random(5);
  for (const uint64_t n : kLengths) {
    std::vector<float> x(n);
    for (float& v : x) {  // any finite float, so that all ranges of the result occur
      do {
        v = std::bit_cast<float>(random.Bits());
        v = random.OneIn(2) ? v : random.Symmetric() * 0x1p-13F;
      } while (!std::isfinite(v));
    }
    std::vector<uint16_t> want(n);
    std::vector<uint16_t> got(n);
    ref::ToF16(x.data(), n, want.data());
    set().to_f16(x.data(), n, got.data());
    EXPECT_TRUE(SameBits(got, want));
  }
}

TEST_P(VectorEquality, Rope) {
  Random random(6);
  for (const uint32_t n_pairs : {1U, 3U, 8U, 16U, 20U, 31U, 32U, 48U, 64U, 96U, 128U}) {
    for (const bool neox : {false, true}) {
      const auto x = testing::RandomFloats(random, 2 * n_pairs + 5);
      const auto cos = testing::RandomFloats(random, n_pairs);
      const auto sin = testing::RandomFloats(random, n_pairs);
      auto want = x;
      auto got = x;
      ref::Rope(want.data(), cos.data(), sin.data(), n_pairs, neox);
      set().rope(got.data(), cos.data(), sin.data(), n_pairs, neox);
      EXPECT_TRUE(SameBits(got, want)) << n_pairs << " pairs, neox " << neox;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, VectorEquality,
                         ::testing::ValuesIn(AllKernelSets().begin(), AllKernelSets().end()),
                         testing::SetName<::testing::TestParamInfo<const KernelSet*>>);

}  // namespace
}  // namespace plimsoll::kernels
