// Sums in the order of docs/numerics.md, "Stripes and tree".
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace plimsoll::kernels::ref {

class Stripes {
 public:
  static constexpr size_t kStripes = 16;

  // Element i of the sum is a * b; elements come in ascending order.
  void AddProduct(uint64_t i, float a, float b) {
    float& stripe = acc_[i % kStripes];
    stripe = std::fma(a, b, stripe);
  }
  void Add(uint64_t i, float a) {
    float& stripe = acc_[i % kStripes];
    stripe = stripe + a;
  }

  [[nodiscard]] float Total() const {
    std::array<float, kStripes> t = acc_;
    for (size_t width = kStripes / 2; width > 0; width /= 2) {
      for (size_t l = 0; l < width; ++l) {
        t[l] = t[l] + t[l + width];
      }
    }
    return t[0];
  }

 private:
  std::array<float, kStripes> acc_ = {};
};

}  // namespace plimsoll::kernels::ref
