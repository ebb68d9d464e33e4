// Who wants to see what enters the matrices: a recorder of importance matrices.
#pragma once

#include <cstddef>
#include <cstdint>

namespace plimsoll::model {

// Matrices that read the same rows have one input.
enum class MatrixInput {
  kAttention,      // queries, keys and values, or what these are made of; of a delta net all
  kLatentQueries,  // queries, from what latent attention makes them of
  kAttentionOutput,
  kFeedForward,  // gate and up, of an expert where there are several
  kDown,         // the same
  kSharedFeedForward,
  kSharedDown,
};

struct ObservedRows {
  uint32_t layer_idx = 0;
  MatrixInput input = MatrixInput::kAttention;
  uint32_t expert = 0;
  const float* rows = nullptr;  // [][k]
  uint64_t k = 0;
  size_t n = 0;
  const uint32_t* row_idx = nullptr;  // which rows, [n]; null: the first n
  const float* factors = nullptr;     // of these rows, [n]; null: all are 1

  [[nodiscard]] const float* row(size_t i) const {
    return rows + (row_idx == nullptr ? i : row_idx[i]) * k;
  }
};

class ActivationObserver {
 public:
  ActivationObserver() = default;
  ActivationObserver(const ActivationObserver&) = delete;
  ActivationObserver& operator=(const ActivationObserver&) = delete;
  virtual ~ActivationObserver() = default;

  // Once for every input and expert of a layer of a pass, on one thread. The rows are valid during
  // the call.
  virtual void OnInput(const ObservedRows& rows) = 0;
};

}  // namespace plimsoll::model
