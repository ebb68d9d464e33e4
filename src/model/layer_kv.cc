#include "model/layer_kv.h"

#include <cstring>

#include "kernels/half.h"
#include "kernels/kv_panels.h"

namespace plimsoll::model {

using kv::kBlockTokens;

LayerKv::LayerKv(const Step& step, uint32_t layer_idx)
    : step_(step),
      layer_idx_(layer_idx),
      layout_(step.tokens[0].sequence->layout()),
      layer_(layout_.layer(layer_idx)),
      is_quantized_(layout_.is_quantized(layer_idx)) {}

void LayerKv::Store(size_t token, const float* keys, const float* values) const {
  const ChunkToken& at = step_.tokens[token];
  const size_t slot = at.slot % kBlockTokens;
  for (uint32_t head = 0; head < layer_.n_kv_heads; ++head) {
    const float* key = keys + size_t{head} * layer_.head_dim_k;
    const float* value = values + (values == nullptr ? 0 : size_t{head} * layer_.head_dim_v);
    if (is_quantized_) {
      step_.kernels.to_f16(key, layer_.head_dim_k,
                           OpenKeys(token, head) + slot * layer_.head_dim_k);
      if (values != nullptr) {
        step_.kernels.to_f16(value, layer_.head_dim_v,
                             OpenValues(token, head) + slot * layer_.head_dim_v);
      }
      continue;
    }
    std::byte* block = at.sequence->MutableBlock(at.slot);
    StoreRow(key, layer_.head_dim_k,
             block + layout_.k_offset(layer_idx_, head) + slot * layout_.k_stride(layer_idx_));
    if (values != nullptr) {
      StoreRow(value, layer_.head_dim_v,
               block + layout_.v_offset(layer_idx_, head) + slot * layout_.v_stride(layer_idx_));
    }
  }
}

void LayerKv::StoreRow(const float* x, uint32_t dim, std::byte* out) const {
  auto* halves = reinterpret_cast<uint16_t*>(out);
  if (layer_.type == tensor::KvType::kF16) {
    step_.kernels.to_f16(x, dim, halves);
    return;
  }
  for (uint32_t i = 0; i < dim; ++i) {
    halves[i] = kernels::FloatToBF16(x[i]);
  }
}

void LayerKv::QuantizeFullBlocks() const {
  if (!is_quantized_) {
    return;
  }
  const tensor::KvPanel keys = layout_.k_panel(layer_idx_);
  const tensor::KvPanel values = layout_.v_panel(layer_idx_);
  step_.team.Run(step_.last_of_blocks.size() * layer_.n_kv_heads, [&](size_t task, size_t) {
    const size_t token = step_.last_of_blocks[task / layer_.n_kv_heads];
    const auto head = static_cast<uint32_t>(task % layer_.n_kv_heads);
    const ChunkToken& at = step_.tokens[token];
    std::byte* block = at.sequence->MutableBlock(at.slot);
    kernels::QuantizePanel(keys, OpenKeys(token, head), block + layout_.k_offset(layer_idx_, head));
    if (!layer_.values_in_keys) {
      kernels::QuantizePanel(values, OpenValues(token, head),
                             block + layout_.v_offset(layer_idx_, head));
    }
  });
}

LayerKv::OpenBlock LayerKv::OpenBlockOf(size_t token, uint32_t kv_head) const {
  if (!is_quantized_) {
    return {};
  }
  const uint32_t value_dim = layer_.values_in_keys ? layer_.head_dim_k : layer_.head_dim_v;
  return {.idx = step_.tokens[token].slot / kBlockTokens,
          .keys = reinterpret_cast<const std::byte*>(OpenKeys(token, kv_head)),
          .values = reinterpret_cast<const std::byte*>(OpenValues(token, kv_head)),
          .value_stride = value_dim * sizeof(uint16_t)};
}

bool LayerKv::SeeTheSame(const ChunkToken& a, const ChunkToken& b) const {
  return !is_quantized_ || a.sequence->originals() != nullptr ||
         a.slot / kBlockTokens == b.slot / kBlockTokens;
}

kernels::F16Blocks OriginalBlocksOf(const kv::KvSequence& sequence, uint32_t layer_idx,
                                    uint32_t kv_head) {
  const kv::BlockLayout& layout = sequence.layout();
  const kv::Originals* originals = sequence.originals();
  if (originals == nullptr || !layout.is_quantized(layer_idx)) {
    return {};
  }
  const kv::BlockLayout::Layer& layer = layout.layer(layer_idx);
  const auto table = [&](const kv::BlockLayout::OriginalPlace& place) {
    return place.in_block ? originals->in_blocks(layer_idx) : originals->beside(layer_idx);
  };
  const auto keys = layout.original_k(layer_idx, kv_head);
  const auto values = layout.original_v(layer_idx, kv_head);
  const uint32_t value_dim = layer.values_in_keys ? layer.head_dim_k : layer.head_dim_v;
  return {.first = 0,
          .n = static_cast<uint32_t>(sequence.blocks().size()),
          .keys = table(keys),
          .values = table(values),
          .k_offset = keys.offset,
          .v_offset = values.offset,
          .value_stride = value_dim * sizeof(uint16_t)};
}

bool LayerKv::IsInOpenBlock(const ChunkToken& token) const {
  return token.sequence->open_idx() == token.slot / kBlockTokens;
}

// In scratch memory a block lies where its first token's row begins, as the chunk has its tokens.
uint16_t* LayerKv::OpenKeys(size_t token, uint32_t kv_head) const {
  const ChunkToken& at = step_.tokens[token];
  if (at.sequence->originals() != nullptr) {
    return reinterpret_cast<uint16_t*>(
        at.sequence->OriginalKeys(layer_idx_, kv_head, at.slot / kBlockTokens));
  }
  if (IsInOpenBlock(at)) {
    return reinterpret_cast<uint16_t*>(at.sequence->OpenKeys(layer_idx_, kv_head));
  }
  const size_t first = token - at.slot % kBlockTokens;
  return step_.scratch.block_keys.data() +
         (first * layer_.n_kv_heads + size_t{kv_head} * kBlockTokens) * layer_.head_dim_k;
}

uint16_t* LayerKv::OpenValues(size_t token, uint32_t kv_head) const {
  if (layer_.values_in_keys) {
    return OpenKeys(token, kv_head);
  }
  const ChunkToken& at = step_.tokens[token];
  if (at.sequence->originals() != nullptr) {
    return reinterpret_cast<uint16_t*>(
        at.sequence->OriginalValues(layer_idx_, kv_head, at.slot / kBlockTokens));
  }
  if (IsInOpenBlock(at)) {
    return reinterpret_cast<uint16_t*>(at.sequence->OpenValues(layer_idx_, kv_head));
  }
  const size_t first = token - at.slot % kBlockTokens;
  return step_.scratch.block_values.data() +
         (first * layer_.n_kv_heads + size_t{kv_head} * kBlockTokens) * layer_.head_dim_v;
}

}  // namespace plimsoll::model
