#include "tools/tune_policy/fit.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace plimsoll::tune_policy {
namespace {

using memory::policy::ForecastWeights;
using memory::policy::kNReuseFeatures;
using memory::policy::PageId;
using memory::policy::ReuseFeatures;
using memory::replay::ReferenceStream;

constexpr double kRidge = 1e-4;
constexpr int kRoundsMax = 20;

using Vector = std::array<double, kNInputs>;
using Matrix = std::array<Vector, kNInputs>;

// For each page the visits of its layer (counted from 1) that use it.
std::vector<std::vector<uint32_t>> UsesOf(const ReferenceStream& stream) {
  std::vector<std::vector<uint32_t>> uses(stream.layout().n_pages());
  std::vector<uint32_t> n_visits(stream.layout().n_layers(), 0);
  for (size_t i = 0; i < stream.size(); ++i) {
    const uint32_t visit = ++n_visits[stream.visit(i).layer];
    for (const PageId page : stream.pages(i)) {
      uses[page.value].push_back(visit);
    }
  }
  return uses;
}

Vector Solve(Matrix a, Vector b) {
  for (size_t i = 0; i < kNInputs; ++i) {
    size_t pivot = i;
    for (size_t r = i + 1; r < kNInputs; ++r) {
      pivot = std::abs(a[r][i]) > std::abs(a[pivot][i]) ? r : pivot;
    }
    std::swap(a[i], a[pivot]);
    std::swap(b[i], b[pivot]);
    for (size_t r = i + 1; r < kNInputs; ++r) {
      const double factor = a[r][i] / a[i][i];
      for (size_t c = i; c < kNInputs; ++c) {
        a[r][c] -= factor * a[i][c];
      }
      b[r] -= factor * b[i];
    }
  }
  for (size_t i = kNInputs; i-- > 0;) {
    for (size_t c = i + 1; c < kNInputs; ++c) {
      b[i] -= a[i][c] * b[c];
    }
    b[i] /= a[i][i];
  }
  return b;
}

// Adds a trace's gradient and curvature of the log likelihood at `w`.
void AddSlopes(const Samples& samples, const Vector& w, uint32_t without, Vector& gradient,
               Matrix& curvature) {
  const double weight = 1 / static_cast<double>(std::max<size_t>(1, samples.used.size()));
  for (size_t i = 0; i < samples.used.size(); ++i) {
    std::array<double, kNInputs> x;
    double z = 0;
    for (size_t k = 0; k < kNInputs; ++k) {
      x[k] = ((without >> k) & 1) != 0 ? 0 : static_cast<double>(samples.inputs[i][k]);
      z += w[k] * x[k];
    }
    const double p = 1 / (1 + std::exp(-z));
    const double error = weight * (samples.used[i] - p);
    const double spread = weight * std::max(p * (1 - p), 1e-6);
    for (size_t k = 0; k < kNInputs; ++k) {
      gradient[k] += error * x[k];
      for (size_t j = 0; j < kNInputs; ++j) {
        curvature[k][j] += spread * x[k] * x[j];
      }
    }
  }
}

}  // namespace

Samples Collect(const ReferenceStream& stream, uint32_t horizon, uint32_t stride) {
  Samples samples;
  const auto& layout = stream.layout();
  const auto uses = UsesOf(stream);
  std::vector<uint32_t> n_visits(layout.n_layers(), 0);
  std::vector<uint32_t> n_all(layout.n_layers(), 0);
  for (size_t i = 0; i < stream.size(); ++i) {
    ++n_all[stream.visit(i).layer];
  }
  ReuseFeatures features(layout);
  std::array<std::vector<float>, kNReuseFeatures> values;
  std::array<std::span<float>, kNReuseFeatures> views;
  uint32_t turn = 0;
  for (size_t i = 0; i < stream.size(); ++i) {
    const auto visit = stream.visit(i);
    features.Visit(visit);
    const uint32_t now = ++n_visits[visit.layer];
    if (n_all[visit.layer] < now + horizon) {
      continue;
    }
    const uint32_t n = layout.n_pages(visit.layer);
    for (size_t f = 0; f < kNReuseFeatures; ++f) {
      values[f].resize(n);
      views[f] = values[f];
    }
    features.Describe(visit.layer, views);
    for (uint32_t j = 0; j < n; ++j) {
      const PageId page = layout.page(visit.layer, j);
      if (features.Age(page) == ReuseFeatures::kNever || ++turn % stride != 0) {
        continue;
      }
      std::array<float, kNInputs> inputs = {1};
      for (size_t f = 0; f < kNReuseFeatures; ++f) {
        inputs[f + 1] = values[f][j];
      }
      const auto next = std::ranges::upper_bound(uses[page.value], now);
      samples.inputs.push_back(inputs);
      samples.used.push_back(next != uses[page.value].end() && *next - now <= horizon ? 1 : 0);
    }
  }
  return samples;
}

ForecastWeights Fit(const std::vector<const Samples*>& traces, uint32_t without) {
  Vector w = {};
  for (int round = 0; round < kRoundsMax; ++round) {
    Vector gradient = {};
    Matrix curvature = {};
    for (const Samples* samples : traces) {
      AddSlopes(*samples, w, without, gradient, curvature);
    }
    for (size_t k = 0; k < kNInputs; ++k) {
      gradient[k] -= kRidge * w[k];
      curvature[k][k] += kRidge;
    }
    const Vector change = Solve(curvature, gradient);
    double most = 0;
    for (size_t k = 0; k < kNInputs; ++k) {
      w[k] += change[k];
      most = std::max(most, std::abs(change[k]));
    }
    if (most < 1e-6) {
      break;
    }
  }
  ForecastWeights weights;
  weights.bias = static_cast<float>(w[0]);
  for (size_t f = 0; f < kNReuseFeatures; ++f) {
    weights.features[f] = static_cast<float>(w[f + 1]);
  }
  return weights;
}

}  // namespace plimsoll::tune_policy
