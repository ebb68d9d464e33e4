// What a model is made of, counted from its catalogue: bytes and parameters by kind, and what one
// token must read.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/catalogue.h"
#include "tensor/dtype.h"

namespace plimsoll::formats {

enum class TensorKind {
  kEmbedding,
  kAttention,
  kRouter,
  kExperts,      // routed ones
  kFeedForward,  // dense layers and shared experts
  kNorm,
  kOutput,
  kPrediction,  // of layers that predict further tokens, which are not used
  kOther,
};
inline constexpr size_t kTensorKinds = 9;

// "embedding", "attention", …
[[nodiscard]] std::string_view TensorKindName(TensorKind kind);

// By GGUF's names: "blk.3.ffn_up_exps.weight" is kExperts. Layers from `n_layers` on are
// kPrediction.
[[nodiscard]] TensorKind ClassifyTensor(std::string_view name, uint32_t n_layers = UINT32_MAX);

// The layers that a pass goes through: all but those that predict further tokens. UINT32_MAX where
// metadata does not say that there are such.
[[nodiscard]] uint32_t LayersInUse(const Metadata& metadata);

struct Totals {
  uint64_t n_tensors = 0;
  uint64_t parameters = 0;
  uint64_t bytes = 0;

  void Add(uint64_t its_parameters, uint64_t its_bytes) {
    ++n_tensors;
    parameters += its_parameters;
    bytes += its_bytes;
  }
};

// Bytes of weights that the forward pass of one token reads. `dense` is what every token reads
// apart from the output matrix: attention, routers, dense feed-forward, norms and the rest.
struct ReadPerToken {
  uint64_t dense = 0;
  uint64_t output = 0;   // the embedding where output and embedding are tied
  uint64_t experts = 0;  // the chosen experts of every layer
  uint64_t embedding_row = 0;

  [[nodiscard]] uint64_t total() const { return dense + output + experts + embedding_row; }
};

struct Summary {
  std::array<Totals, kTensorKinds> by_kind;
  std::vector<std::pair<tensor::DType, Totals>> by_dtype;  // most bytes first
  Totals all;
  uint64_t parameters_active = 0;  // that one token is multiplied by
  ReadPerToken bytes_per_token;
  bool output_is_tied = false;
  // 0 for a dense model. Where metadata does not say how many experts a token uses, all of them.
  uint32_t n_experts = 0;
  uint32_t n_experts_active = 0;
  uint32_t n_prediction_layers = 0;

  [[nodiscard]] const Totals& of(TensorKind kind) const {
    return by_kind[static_cast<size_t>(kind)];
  }
};

[[nodiscard]] Summary Summarise(const Catalogue& catalogue);

}  // namespace plimsoll::formats
