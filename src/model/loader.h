// From a catalogue's entries to weights in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "formats/catalogue.h"
#include "memory/buffer.h"
#include "model/declarations.h"

namespace plimsoll::model {

// What a set of declarations takes in memory, by account.
struct WeightBytes {
  uint64_t weights = 0;
  uint64_t vocab = 0;
  uint64_t experts = 0;

  [[nodiscard]] uint64_t total() const { return weights + vocab + experts; }
};

// A declaration with the tensor that it found.
struct BoundTensor {
  const Declaration* declaration = nullptr;
  const formats::TensorEntry* entry = nullptr;
};

// Finds every declared tensor and checks its shape and type. kBadModel names the tensor, what was
// expected and what is there. Optional ones that are absent are left out.
[[nodiscard]] Result<std::vector<BoundTensor>> BindTensors(const formats::Catalogue& catalogue,
                                                           const Declarations& declarations);

[[nodiscard]] WeightBytes CountWeightBytes(std::span<const BoundTensor> tensors);

// Gives a matrix that stays in its file its type and shape, without data.
void PointAway(const BoundTensor& tensor);

// Reads all of them into memory that the ledger grants and points the declarations' targets there.
// The buffers own the memory. `on_bytes` is called with the number of bytes after each read.
[[nodiscard]] Result<std::vector<memory::Buffer>> LoadTensors(
    const formats::Catalogue& catalogue, std::span<const BoundTensor> tensors,
    memory::Ledger& ledger, const std::function<void(uint64_t)>& on_bytes);

}  // namespace plimsoll::model
