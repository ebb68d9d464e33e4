// Mixes of weight types under the names that llama.cpp's users know: most matrices have one type,
// those that suffer most from few bits have a larger one. Which do is plain data here, from
// llama.cpp's llama-quant.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "formats/catalogue.h"
#include "tensor/dtype.h"

namespace plimsoll::engine {

// What a matrix does, as far as mixes tell matrices apart.
enum class MatrixPart {
  kLogits,  // makes the logits
  kEmbedding,
  kQueries,
  kKeys,
  kValues,  // also those that make queries, keys and values in one
  kAttentionOutput,
  kGateOrUp,
  kDown,
  kOther,
};

// Where in the model: a layer's place among the n layers that have such a matrix.
enum class MixLayers {
  kAll,
  kFirstTwo,
  kFirstFour,
  kFirstSixteenth,
  kFirstEighth,
  kMiddle,    // between the first and the last eighth
  kMoreBits,  // the first and the last eighth, and every third between
};

enum class MixCondition {
  kAlways,
  kGroupedQueries,           // four heads or more share a key
  kGroupedQueriesOrExperts,  // or there are four experts or more
  kEightExperts,             // exactly, as Mixtral has
  kExpertStack,              // the tensor is a stack of experts' matrices
  kWithImportance,
  kWithoutImportance,
};

struct MixRule {
  MatrixPart part;
  MixLayers layers;
  MixCondition condition;
  tensor::DType dtype;
};

struct QuantizeMix {
  std::string_view name;
  tensor::DType dtype;             // where no rule says otherwise
  uint32_t file_type;              // GGUF's general.file_type
  std::span<const MixRule> rules;  // the first that holds counts
};

// By name, in any case: "Q4_K_M". Where a mix has the name of a type, as Q2_K and IQ4_XS, it is the
// mix; every type has one. Null: there is none.
[[nodiscard]] const QuantizeMix* FindMix(std::string_view name);
[[nodiscard]] std::span<const QuantizeMix> AllMixes();

// What the conditions of rules ask of a model.
class MixedModel {
 public:
  MixedModel(const formats::Catalogue& catalogue, bool has_importance);

  [[nodiscard]] MatrixPart PartOf(const formats::TensorEntry& tensor) const;
  // The type of a rule that holds for the tensor, or the mix's own.
  [[nodiscard]] tensor::DType TypeOf(const QuantizeMix& mix,
                                     const formats::TensorEntry& tensor) const;

 private:
  [[nodiscard]] bool Holds(MixCondition condition, const formats::TensorEntry& tensor) const;
  [[nodiscard]] bool Holds(MixLayers layers, MatrixPart part,
                           const formats::TensorEntry& tensor) const;

  bool has_importance_;
  bool ties_embedding_;
  uint32_t n_layers_;
  uint32_t n_experts_;
  uint32_t heads_of_a_key_;
  std::vector<uint32_t> layers_with_values_;  // ascending
};

}  // namespace plimsoll::engine
