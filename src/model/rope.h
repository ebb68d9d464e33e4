// Rotary position embedding: the angle by which each pair of dimensions turns at a position.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/hyper_params.h"
#include "model/weights.h"

namespace plimsoll::model {

// Angles are position * frequency; the variants only change the frequencies (and, for YaRN, the
// length of the rotated vector). Everything is made in double and rounded to float once.
//
// Sources: RoPE, Su et al. 2021; linear interpolation, Chen et al. 2023 (Position Interpolation);
// NTK-aware base change, bloc97 2023; YaRN, Peng et al. 2023; Llama 3's piecewise factors, Meta's
// published model code; LongRoPE, Ding et al. 2024 (arXiv:2402.13753).
class RopeTable {
 public:
  // `factors` (one a pair, may be empty) divide the frequencies: files of Llama 3 and of models
  // with LongRoPE carry them as tensors.
  RopeTable(const RopeParams& params, Vector factors);

  [[nodiscard]] size_t n_pairs() const { return frequencies_.size(); }
  // cos and sin have n_pairs() elements.
  void Angles(uint32_t position, std::span<float> cos, std::span<float> sin) const;
  // The same of what takes a vector that was rotated already `distance` positions further (back
  // where it is negative): rotations add up, and lengths are as they were.
  void TurnAngles(int64_t distance, std::span<float> cos, std::span<float> sin) const;

 private:
  void Fill(double position, double magnitude, std::span<float> cos, std::span<float> sin) const;

  std::vector<double> frequencies_;
  double magnitude_ = 1.0;
};

// Those of a model's layers.
struct RopeTables {
  // `factors` are not those of layers with a window that turn by a table of their own.
  RopeTables(const HyperParams& hp, Vector factors) : plain(hp.rope, factors) {
    if (hp.window_rope) {
      window.emplace(*hp.window_rope, Vector());
    }
  }

  RopeTable plain;
  std::optional<RopeTable> window;  // HyperParams::window_rope
};

}  // namespace plimsoll::model
