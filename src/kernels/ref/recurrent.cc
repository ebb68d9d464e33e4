// What recurrent layers are made of.
#include <array>
#include <cmath>

#include "kernels/math.h"
#include "kernels/ref/ref.h"

namespace plimsoll::kernels::ref {
namespace {

// Element d of the sum goes to part d mod 4.
class Quarters {
 public:
  void AddProduct(uint32_t d, float a, float b) { acc_[d % 4] = std::fma(a, b, acc_[d % 4]); }
  [[nodiscard]] float Total() const { return (acc_[0] + acc_[2]) + (acc_[1] + acc_[3]); }

 private:
  std::array<float, 4> acc_ = {};
};

}  // namespace

void ShortConv(const float* const* inputs, const float* weights, uint32_t width, size_t stride,
               uint64_t n, float* y) {
  for (uint64_t i = 0; i < n; ++i) {
    float sum = 0;
    for (uint32_t j = 0; j < width; ++j) {
      sum = std::fma(weights[j * stride + i], inputs[j][i], sum);
    }
    y[i] = Silu(sum);
  }
}

void DeltaRule(const DeltaRuleArgs& args) {
  for (uint32_t lane = 0; lane < kDeltaLanes; ++lane) {
    Quarters recalled;
    for (uint32_t d = 0; d < args.key_dim; ++d) {
      recalled.AddProduct(d, args.from[d * kDeltaLanes + lane], args.key[d]);
    }
    const float change = args.beta * (args.value[lane] - args.decay * recalled.Total());
    Quarters out;
    for (uint32_t d = 0; d < args.key_dim; ++d) {
      const size_t at = size_t{d} * kDeltaLanes + lane;
      args.to[at] = std::fma(args.key[d], change, args.decay * args.from[at]);
      out.AddProduct(d, args.to[at], args.query[d]);
    }
    args.out[lane] = out.Total();
  }
}

}  // namespace plimsoll::kernels::ref
