#include "model/layer_pieces.h"

#include <algorithm>
#include <utility>

#include "model/products.h"
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

void LayerPieces::KeepBranch() {
  std::swap(step_.scratch.branch, step_.scratch.kept_branch);
  branch_pending_ = false;
}

void LayerPieces::AddKeptBranch() {
  const uint64_t d = step_.hp.hidden_dim;
  const Scratch& s = step_.scratch;
  step_.ForEachToken([&](size_t i) {
    step_.kernels.add(s.kept_branch.data() + i * d, d, s.branch.data() + i * d);
  });
}

void LayerPieces::PackStream() {
  EndLayers();
  Scratch& s = step_.scratch;
  s.packed_in.floats = s.x.data();
  s.packed_in.k = step_.hp.hidden_dim;
  step_.ForEachToken([&](size_t i) { s.packed_in.Pack(step_.kernels, i); });
}

void LayerPieces::LayerInput(const LayerInputWeights& weights) {
  if (!Use({&weights.gate})) {
    return;
  }
  PackStream();
  Scratch& s = step_.scratch;
  const uint64_t n = step_.hp.layer_input_dim;
  const uint64_t n_inputs = n * step_.hp.n_layers;
  const Product gate = {weights.gate, s.packed_in.For(weights.gate.dtype, 0, step_.n()),
                        s.input_gate.data(), n};
  Observe(step_, weights.gate, s.packed_in, step_.n());
  RunProducts(step_, {&gate, 1});
  s.packed_input.floats = s.input_gate.data();
  s.packed_input.k = n;
  step_.ForEachToken([&](size_t i) {
    float* g = s.input_gate.data() + i * n;
    step_.kernels.gelu_mul(g, s.layer_inputs.data() + i * n_inputs + layer_idx_ * n, n, g);
    s.packed_input.Pack(step_.kernels, i);
  });
  if (Use({&weights.output})) {
    const Product output = {weights.output, s.packed_input.For(weights.output.dtype, 0, step_.n()),
                            s.branch.data(), step_.hp.hidden_dim};
    Observe(step_, weights.output, s.packed_input, step_.n());
    RunProducts(step_, {&output, 1});
    branch_pending_ = true;
  }
}

void LayerPieces::ScaleStream(Vector scale) {
  if (scale.empty()) {
    return;
  }
  EndLayers();
  const uint64_t d = step_.hp.hidden_dim;
  step_.ForEachToken([&](size_t i) {
    float* x = step_.scratch.x.data() + i * d;
    std::for_each(x, x + d, [&](float& value) { value *= scale[0]; });
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
