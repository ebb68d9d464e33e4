#include "engine/attention_work.h"

namespace plimsoll::engine {
AttentionWork AttentionAt(const model::HyperParams& hp, const kv::BlockLayout& layout,
                          uint32_t position) {
  AttentionWork work;
  for (size_t i = 0; i < hp.layers.size(); ++i) {
    const model::LayerParams& layer = hp.layers[i];
    if (layer.recurrent) {  // its state is read and written, each number of it used three times
      const uint64_t n_numbers = uint64_t{hp.delta.v_dim()} * hp.delta.head_dim;
      work.kv_bytes += 2 * sizeof(float) * n_numbers;
      work.multiply_adds += 3 * n_numbers;
      continue;
    }
    const uint64_t visible = uint64_t{position} + 1 - layer.FirstSeen(position);
    const size_t kv = layer.kv_of.value_or(static_cast<uint32_t>(i));
    const uint64_t block =
        layer.n_kv_heads * (layout.k_panel(kv).bytes() + layout.v_panel(kv).bytes());
    work.kv_bytes += visible * block / kv::kBlockTokens;
    work.multiply_adds += visible * layer.n_heads * (uint64_t{layer.head_dim_k} + layer.head_dim_v);
  }
  return work;
}

}  // namespace plimsoll::engine
