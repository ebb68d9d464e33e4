// Which blocks of a layer stay in 16 bits, and which are quantized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/originals.h"

namespace plimsoll::kv::policy {

// A block in a layer.
struct LayerBlock {
  uint32_t layer_idx = 0;
  uint32_t block = 0;
};

// Shares out n things in proportion to weights that are not negative, no more to each than its cap:
// one after another goes to the largest weight / (2 * what it has + 1), of equal ones to the first
// (Sainte-Lague). Where no weight is above 0, all count alike.
void ShareOut(size_t n, std::span<const float> weights, std::span<const uint32_t> caps,
              std::span<uint32_t> shares);

// After ARKV (2026): how many originals a layer has goes by how its attention is spread, which they
// are by how much each gets. All layers are looked at before anything is shared out.
class OriginalChoice {
 public:
  // For sequences of so many blocks, of which a layer has so many originals on average.
  OriginalChoice(size_t n_layers, size_t n_blocks, size_t n_originals);

  // Forgets all layers.
  void Clear();
  // What a layer's blocks are worth, and its weight among the layers.
  void AddLayer(size_t layer_idx, std::span<const float> worth, float weight);
  // The originals that are to be quantized if n are to stay over all layers. The first of n_blocks
  // blocks stays everywhere and is not one of the n; of equal ones the newer stays. `gone`: blocks
  // that do not count, ascending. Valid until the next call.
  [[nodiscard]] std::span<const LayerBlock> ToQuantize(const Originals& originals, size_t n_blocks,
                                                       std::span<const uint32_t> gone, size_t n);

 private:
  size_t n_blocks_;
  std::vector<float> worth_;  // [layer][n_blocks]
  std::vector<float> weights_;
  std::vector<uint32_t> caps_;
  std::vector<uint32_t> shares_;
  std::vector<uint32_t> order_;
  std::vector<LayerBlock> chosen_;
};

}  // namespace plimsoll::kv::policy
