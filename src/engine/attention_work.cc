#include "engine/attention_work.h"

#include <algorithm>

namespace plimsoll::engine {
namespace {

constexpr uint64_t kKvValueBytes = 2;  // F16

}  // namespace

AttentionWork AttentionAt(const model::HyperParams& hp, uint32_t position) {
  AttentionWork work;
  for (const model::LayerParams& layer : hp.layers) {
    const uint64_t seen = uint64_t{position} + 1;
    const uint64_t visible = layer.window == 0 ? seen : std::min<uint64_t>(seen, layer.window);
    work.kv_bytes += visible * (uint64_t{layer.k_dim()} + layer.v_dim()) * kKvValueBytes;
    work.multiply_adds += visible * layer.n_heads * (uint64_t{layer.head_dim_k} + layer.head_dim_v);
  }
  return work;
}

}  // namespace plimsoll::engine
