#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/trig.h"

namespace plimsoll::model {
namespace {

using kernels::Exp;
using kernels::Log;

// base ^ exponent
double Power(double base, double exponent) { return Exp(exponent * Log(base)); }

// The pair (as a real number) that turns `rotations` times within the original context.
double PairOfRotations(const RopeParams& p, double rotations) {
  const double ratio = p.n_ctx_original / (rotations * 2.0 * std::numbers::pi);
  return p.n_dims * Log(ratio) / (2.0 * Log(p.theta));
}

// YaRN: pairs that turn often keep their frequency, those that turn seldom are interpolated, with a
// ramp between.
double YarnFrequency(const RopeParams& p, double frequency, size_t pair) {
  const double low = std::max(0.0, std::floor(PairOfRotations(p, p.beta_fast)));
  const double high = std::min(p.n_dims - 1.0, std::ceil(PairOfRotations(p, p.beta_slow)));
  const double ramp = (static_cast<double>(pair) - low) / std::max(0.001, high - low);
  const double keep = 1.0 - std::clamp(ramp, 0.0, 1.0);
  return frequency / p.factor * (1.0 - keep) + frequency * keep;
}

// Llama 3: wavelengths beyond the original context are stretched by the factor, short ones kept,
// those between blended.
double Llama3Frequency(const RopeParams& p, double frequency) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double turns = p.n_ctx_original / wavelength;
  if (turns < p.low_freq_factor) {
    return frequency / p.factor;
  }
  if (turns > p.high_freq_factor) {
    return frequency;
  }
  const double blend = (turns - p.low_freq_factor) / (p.high_freq_factor - p.low_freq_factor);
  return (1.0 - blend) * frequency / p.factor + blend * frequency;
}

double ScaledFrequency(const RopeParams& p, double frequency, size_t pair) {
  switch (p.scaling) {
    case RopeScaling::kLinear:
      return frequency / p.factor;
    case RopeScaling::kYarn:
      return YarnFrequency(p, frequency, pair);
    case RopeScaling::kLlama3:
      return Llama3Frequency(p, frequency);
    case RopeScaling::kNone:
    case RopeScaling::kLongRope:  // its factors are a tensor
    case RopeScaling::kNtk:       // its base has changed already
      return frequency;
  }
  return frequency;
}

}  // namespace

RopeTable::RopeTable(const RopeParams& params, Vector factors) {
  const double n_dims = params.n_dims;
  double theta = params.theta;
  if (params.scaling == RopeScaling::kNtk && params.n_dims > 2) {
    theta *= Power(params.factor, n_dims / (n_dims - 2.0));
  }
  for (size_t pair = 0; pair < params.n_dims / 2; ++pair) {
    double frequency = Power(theta, -2.0 * static_cast<double>(pair) / n_dims);
    if (pair < factors.size()) {
      frequency /= factors[pair];
    }
    frequencies_.push_back(ScaledFrequency(params, frequency, pair));
  }
  magnitude_ = params.attention_factor;
  if (params.scaling == RopeScaling::kYarn && params.lengthens && params.factor > 1) {
    magnitude_ *= 1.0 + 0.1 * Log(params.factor);
  }
}

void RopeTable::Angles(uint32_t position, std::span<float> cos, std::span<float> sin) const {
  Fill(position, magnitude_, cos, sin);
}

void RopeTable::TurnAngles(int64_t distance, std::span<float> cos, std::span<float> sin) const {
  Fill(static_cast<double>(distance), 1.0, cos, sin);
}

void RopeTable::Fill(double position, double magnitude, std::span<float> cos,
                     std::span<float> sin) const {
  for (size_t pair = 0; pair < frequencies_.size(); ++pair) {
    const double angle = position * frequencies_[pair];
    cos[pair] = static_cast<float>(kernels::Cos(angle) * magnitude);
    sin[pair] = static_cast<float>(kernels::Sin(angle) * magnitude);
  }
}

}  // namespace plimsoll::model
