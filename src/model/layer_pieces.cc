#include "model/layer_pieces.h"

#include "model/streamed_weights.h"

namespace plimsoll::model {

LayerPieces::LayerPieces(const Step& step, const RopeTables& ropes) : step_(step) {
  Scratch& s = step.scratch;
  const auto fill = [&](const RopeTable& rope, RopeAngles& angles, size_t i) {
    const size_t n_pairs = rope.n_pairs();
    rope.Angles(step.tokens[i].position, angles.cos.subspan(i * n_pairs, n_pairs),
                angles.sin.subspan(i * n_pairs, n_pairs));
  };
  step.ForEachToken([&](size_t i) {
    fill(ropes.plain, s.angles, i);
    if (ropes.window) {
      fill(*ropes.window, s.window_angles, i);
    }
  });
}

bool LayerPieces::Use(std::initializer_list<const tensor::Matrix*> matrices) {
  if (step_.streamed != nullptr && !error_) {
    if (auto used = step_.streamed->Use(matrices); !used) {
      error_ = used.error();
    }
  }
  return !error_;
}

void LayerPieces::Norm(Vector weight) {
  Scratch& s = step_.scratch;
  const uint64_t d = step_.hp.hidden_dim;
  s.packed_in.floats = s.normed.data();
  s.packed_in.k = d;
  step_.ForEachToken([&](size_t i) {
    if (branch_pending_) {
      AddBranch(i);
    }
    step_.kernels.rms_norm(s.x.data() + i * d, weight.data(), step_.hp.rms_eps, d,
                           s.normed.data() + i * d);
    s.packed_in.Pack(step_.kernels, i);
  });
  branch_pending_ = false;
}

void LayerPieces::NormBranch(Vector weight) {
  const uint64_t d = step_.hp.hidden_dim;
  step_.ForEachToken([&](size_t i) {
    float* branch = step_.scratch.branch.data() + i * d;
    step_.kernels.rms_norm(branch, weight.data(), step_.hp.rms_eps, d, branch);
  });
}

void LayerPieces::EndLayers() {
  if (!branch_pending_) {
    return;
  }
  step_.ForEachToken([&](size_t i) { AddBranch(i); });
  branch_pending_ = false;
}

// At a scale of 1 an fma is the plain sum.
void LayerPieces::AddBranch(size_t token) const {
  const uint64_t d = step_.hp.hidden_dim;
  const Scratch& s = step_.scratch;
  step_.kernels.axpy(step_.hp.residual_scale, s.branch.data() + token * d, d,
                     s.x.data() + token * d);
}

}  // namespace plimsoll::model
