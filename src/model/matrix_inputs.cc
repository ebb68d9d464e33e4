#include "model/matrix_inputs.h"

#include <algorithm>
#include <map>

#include "base/invariant.h"
#include "model/streamed_weights.h"

namespace plimsoll::model {
namespace {

// Matrices that read the same rows, where a model has them.
using Readers = std::vector<const tensor::Matrix*>;

// As the pieces of a layer show them to an observer.
std::vector<Readers> ReadersOf(const LayerWeights& layer, bool has_q_down) {
  const AttentionWeights& a = layer.attention;
  const LatentAttentionWeights& l = layer.latent_attention;
  const DeltaNetWeights& d = layer.delta_net;
  std::vector<Readers> all = {{&a.q, &a.k, &a.v, &a.qkv}, {&a.output}};
  if (has_q_down) {
    all.push_back({&l.q_down, &l.kv_down});
    all.push_back({&l.q});
  } else {
    all.push_back({&l.q, &l.kv_down});
  }
  all.push_back({&l.k_up.first});
  all.push_back({&l.v_up.first});
  all.push_back({&l.kv_up});
  all.push_back({&l.output});
  all.push_back({&d.qkv, &d.gate, &d.beta, &d.alpha, &d.joined});
  all.push_back({&d.output});
  for (const FeedForwardWeights* ff : {&layer.beside, &layer.feed_forward}) {
    all.push_back({&ff->gate.first, &ff->up.first, &ff->gate_up.first});
    all.push_back({&ff->down.first});
    all.push_back({&ff->shared.gate.first, &ff->shared.up.first});
    all.push_back({&ff->shared.down.first});
  }
  all.push_back({&layer.input.gate});
  all.push_back({&layer.input.output});
  return all;
}

class InputFinder {
 public:
  InputFinder(std::span<const BoundTensor> bound, const ModelWeights& weights) : weights_(weights) {
    for (const BoundTensor& tensor : bound) {
      if (const tensor::Matrix* target = TargetOf(tensor)) {
        by_target_[target] = tensor.entry;
      }
    }
  }

  std::vector<MatrixInput> Find() {
    Add({&weights_.input_projection});
    for (const LayerWeights& layer : weights_.layers) {
      for (Readers& readers :
           ReadersOf(layer, by_target_.contains(&layer.latent_attention.q_down))) {
        Add(std::move(readers));
      }
    }
    if (by_target_.contains(&weights_.output)) {
      Add({&weights_.output});
      found_.back().makes_logits = true;
    }
    const auto n_others = std::ranges::count_if(
        by_target_, [this](const auto& target) { return IsOther(target.first); });
    Invariant(n_found_ + static_cast<size_t>(n_others) == by_target_.size(),
              "the inputs of a model's matrices name every matrix that it has");
    return std::move(found_);
  }

 private:
  void Add(Readers readers) {
    MatrixInput input;
    for (const tensor::Matrix* reader : readers) {
      if (const auto it = by_target_.find(reader); it != by_target_.end()) {
        input.tensors.push_back(it->second);
        ++n_found_;
      }
    }
    if (!input.tensors.empty()) {
      const tensor::Shape& shape = input.tensors.front()->shape;
      input.readers = std::move(readers);
      input.k = shape.dims[0];
      input.n_matrices = shape.Elements() / (shape.dims[0] * shape.dims[1]);
      found_.push_back(std::move(input));
    }
  }

  // An embedding, or a router.
  [[nodiscard]] bool IsOther(const tensor::Matrix* target) const {
    return target == &weights_.embedding || target == &weights_.input_embedding ||
           std::ranges::any_of(weights_.layers, [target](const LayerWeights& layer) {
             return target == &layer.feed_forward.router ||
                    target == &layer.feed_forward.shared.router;
           });
  }

  const ModelWeights& weights_;
  std::map<const tensor::Matrix*, const formats::TensorEntry*> by_target_;
  std::vector<MatrixInput> found_;
  size_t n_found_ = 0;  // matrices that some input names
};

}  // namespace

std::vector<MatrixInput> FindMatrixInputs(std::span<const BoundTensor> bound,
                                          const ModelWeights& weights) {
  return InputFinder(bound, weights).Find();
}

}  // namespace plimsoll::model
