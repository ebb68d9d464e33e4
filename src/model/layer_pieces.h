// The pieces that layers are made of. An architecture calls them in its order.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include "base/result.h"
#include "model/expert_tasks.h"
#include "model/rope.h"
#include "model/step.h"
#include "model/weights.h"

namespace plimsoll::model {

// A layer is a chain of branches on the residual stream: Norm reads the stream (after adding what
// the branch before left), Attention and FeedForward read the norm's result and make the next
// branch.
class LayerPieces {
 public:
  LayerPieces(const Step& step, const RopeTables& ropes);

  // `next`: the feed-forward weights of the layer behind; null where there is none.
  void BeginLayer(uint32_t layer_idx, const FeedForwardWeights* next) {
    layer_idx_ = layer_idx;
    next_ = next;
  }
  [[nodiscard]] const LayerParams& params() const { return step_.hp.layers[layer_idx_]; }

  void Norm(Vector weight);
  // Of the branch that the piece before made.
  void NormBranch(Vector weight);
  void Attention(const AttentionWeights& weights);
  void LatentAttention(const LatentAttentionWeights& weights);
  void DeltaNet(const DeltaNetWeights& weights);
  // Router, experts and the shared expert; a dense feed-forward is one expert.
  void FeedForward(const FeedForwardWeights& weights);
  // Its two halves, where the router has an input of its own: each reads the norm before it.
  void Route(const FeedForwardWeights& weights);
  void Experts(const FeedForwardWeights& weights);
  // Sets the branch aside, and adds it to the one that was made since.
  void KeepBranch();
  void AddKeptBranch();
  // Makes a branch of the stream and of what the layer is given of each token
  // (HyperParams::layer_input_dim).
  void LayerInput(const LayerInputWeights& weights);
  // Of the stream, with the branch before it.
  void ScaleStream(Vector scale);

  // Why a weight could not be read; what the pieces made since is of no use.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  // Adds the last branch to the stream. For the end of the layers.
  void EndLayers();

 private:
  // Waits until these are in memory, if they are not: until the next Use. False with error() set.
  [[nodiscard]] bool Use(std::initializer_list<const tensor::Matrix*> matrices);

  // Adds a token's branch to its stream.
  void AddBranch(size_t token) const;

  void ProjectQkv(const AttentionWeights& weights);
  void StoreKeysAndValues(const AttentionWeights& weights);
  void FinishValues(const AttentionWeights& weights, size_t token);
  void FinishQueries(const AttentionWeights& weights, size_t token);
  void TakeGates(Vector bias, size_t token);
  void NormToUnit(float* heads, uint64_t width, uint64_t head_dim) const;
  void FinishHeads(float* heads, uint32_t n_heads, Vector bias, Vector norm, size_t token);
  void RotateHeads(float* heads, uint32_t n_heads, size_t token);
  void LengthenQueries(size_t token);
  void AttendAll(const AttentionWeights& weights);
  void ProjectOutput(const tensor::Matrix& output, Vector bias);

  // Whether there are experts beside the shared one.
  [[nodiscard]] bool HasRouted(const FeedForwardWeights& weights) const {
    return !params().is_moe() || !weights.router.empty();
  }
  // The stream with the branch before, as what matrices read.
  void PackStream();

  void ChooseExpertsOf(const FeedForwardWeights& weights, size_t token);
  void GroupPairs();
  // Experts that are computed together, as indices into those that are active: all of them, or
  // those that have just come into memory.
  struct Wave {
    std::span<const uint32_t> experts;
    bool is_first = true;
    bool is_last = true;
  };
  void RunResidentExperts(const FeedForwardWeights& weights);
  void SetResidentMatrices(const FeedForwardWeights& weights);
  void RunPagedExperts(const FeedForwardWeights& weights);
  void GuessNext();
  void GuessByRouter();
  void RunWave(const FeedForwardWeights& weights, const Wave& wave);
  void RunDown(const FeedForwardWeights& weights, const Wave& wave);
  void RunGateUp(const FeedForwardWeights& weights, const Wave& wave);
  void ObserveExperts(const FeedForwardWeights& weights, const Wave& wave, bool with_shared) const;
  void RunDownByRows(const FeedForwardWeights& weights, const Wave& wave);
  void RunDownByExpert(const FeedForwardWeights& weights, const Wave& wave);
  // Of how many experts the tasks of a stage are cut for.
  [[nodiscard]] size_t ExpertsAtOnce(const Wave& wave) const;
  void CombineExperts(RowRange rows, bool has_shared);
  void ScaleSharedExpert(const SharedExpertWeights& weights);

  const Step& step_;
  uint32_t layer_idx_ = 0;
  const FeedForwardWeights* next_ = nullptr;
  bool branch_pending_ = false;
  std::optional<Error> error_;
};

}  // namespace plimsoll::model
