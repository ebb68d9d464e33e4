#include "kv/block_pool.h"

#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::kv {
namespace {

constexpr uint64_t kF16Bytes = 2;
constexpr uint64_t kLayerAlignment = 64;

uint64_t HeadBytes(uint32_t head_dim) { return uint64_t{kBlockTokens} * head_dim * kF16Bytes; }
uint64_t ValueBytes(const BlockLayout::Layer& layer) {
  return layer.values_in_keys ? 0 : HeadBytes(layer.head_dim_v);
}

}  // namespace

BlockLayout::BlockLayout(std::vector<Layer> layers) : layers_(std::move(layers)) {
  for (const Layer& layer : layers_) {
    layer_offsets_.push_back(block_bytes_);
    block_bytes_ += layer.n_kv_heads * (HeadBytes(layer.head_dim_k) + ValueBytes(layer));
    block_bytes_ = AlignUp(block_bytes_, kLayerAlignment);
  }
}

uint64_t BlockLayout::k_offset(size_t layer_idx, uint32_t kv_head) const {
  return layer_offsets_[layer_idx] + kv_head * HeadBytes(layers_[layer_idx].head_dim_k);
}

uint64_t BlockLayout::v_offset(size_t layer_idx, uint32_t kv_head) const {
  const Layer& layer = layers_[layer_idx];
  if (layer.values_in_keys) {
    return k_offset(layer_idx, kv_head);
  }
  return layer_offsets_[layer_idx] + layer.n_kv_heads * HeadBytes(layer.head_dim_k) +
         kv_head * HeadBytes(layer.head_dim_v);
}

uint64_t BlockLayout::k_stride(size_t layer_idx) const {
  return layers_[layer_idx].head_dim_k * kF16Bytes;
}

uint64_t BlockLayout::v_stride(size_t layer_idx) const {
  const Layer& layer = layers_[layer_idx];
  return (layer.values_in_keys ? layer.head_dim_k : layer.head_dim_v) * kF16Bytes;
}

// The ledger sees the slabs leave as what they were reserved for.
BlockPool::~BlockPool() {
  while (n_idle_ > 0) {
    RemoveIdle();
  }
}

Result<> BlockPool::Promise(uint64_t n) {
  const uint64_t wanted = n_promised_ + n;
  if (wanted > blocks_.size()) {
    const uint64_t more = wanted - blocks_.size();
    const auto bytes = CheckedMul<uint64_t>(more, layout_.block_bytes());
    auto slab = memory::Buffer::Allocate(ledger_, memory::Account::kKv, bytes.value_or(UINT64_MAX),
                                         fmt::format("a KV cache of {} tokens", n * kBlockTokens));
    if (!slab) {
      return Forward(slab);
    }
    for (uint64_t i = 0; i < more; ++i) {
      free_.push_back(BlockId{static_cast<uint32_t>(blocks_.size())});
      blocks_.push_back(slab->data() + i * layout_.block_bytes());
      references_.push_back(0);
      n_kept_slots_.push_back(0);
    }
    slabs_.push_back(std::move(*slab));
  }
  n_promised_ = wanted;
  return {};
}

void BlockPool::Unpromise(uint64_t n) {
  Invariant(n <= n_promised_, "a promise of blocks is given back once");
  n_promised_ -= n;
}

std::optional<BlockId> BlockPool::Allocate() {
  if (free_.empty()) {
    return std::nullopt;
  }
  const BlockId block = free_.back();
  free_.pop_back();
  references_[block.value] = 1;
  return block;
}

void BlockPool::AddReference(BlockId block) {
  const bool is_idle = references_[block.value] == 0;
  Invariant(!is_idle || n_kept_slots_[block.value] > 0, "only a block in use gains references");
  ++references_[block.value];
  if (is_idle) {
    RemoveIdle();
  }
}

void BlockPool::DropReference(BlockId block) {
  Invariant(references_[block.value] > 0, "a block's references are dropped once each");
  if (--references_[block.value] > 0) {
    return;
  }
  if (n_kept_slots_[block.value] > 0) {
    AddIdle();
  } else {
    free_.push_back(block);
  }
}

void BlockPool::Keep(BlockId block, uint32_t n_slots) {
  Invariant(references_[block.value] > 0, "only a block in use begins to be kept");
  Invariant(n_slots > n_kept_slots_[block.value] && n_slots <= kBlockTokens,
            "more of a block is kept than before");
  n_kept_slots_[block.value] = static_cast<uint8_t>(n_slots);
}

void BlockPool::Unkeep(BlockId block) {
  Invariant(n_kept_slots_[block.value] > 0, "a block that is kept is given up once");
  n_kept_slots_[block.value] = 0;
  if (references_[block.value] == 0) {
    RemoveIdle();
    free_.push_back(block);
  }
}

void BlockPool::AddIdle() {
  ++n_idle_;
  ledger_.Lend(memory::Account::kKv, memory::Account::kPrefix, layout_.block_bytes());
}

void BlockPool::RemoveIdle() {
  --n_idle_;
  ledger_.TakeBack(memory::Account::kKv, memory::Account::kPrefix, layout_.block_bytes());
}

}  // namespace plimsoll::kv
