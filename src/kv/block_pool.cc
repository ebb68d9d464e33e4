#include "kv/block_pool.h"

#include <algorithm>

#include "base/checked.h"
#include "base/invariant.h"

namespace plimsoll::kv {
namespace {

using tensor::KvContent;
using tensor::KvPanel;
using tensor::KvType;

constexpr uint64_t kLayerAlignment = 64;

uint64_t OpenBytes(uint32_t head_dim) {
  return KvPanel{.type = KvType::kF16, .dim = head_dim}.bytes();
}

}  // namespace

BlockLayout::BlockLayout(std::vector<Layer> layers) : layers_(std::move(layers)) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    layer_offsets_.push_back(block_bytes_);
    block_bytes_ += layers_[i].n_kv_heads * (k_panel(i).bytes() + v_panel(i).bytes());
    block_bytes_ = AlignUp(block_bytes_, kLayerAlignment);
  }
  PlaceOpenBlocks();
  PlaceQueryBlocks();
  PlaceStates();
  PlaceOriginals();
}

void BlockLayout::PlaceOpenBlocks() {
  std::vector<uint64_t> sizes;
  for (size_t i = 0; i < layers_.size(); ++i) {
    first_open_.push_back(sizes.size());
    for (uint32_t head = 0; is_quantized(i) && head < layers_[i].n_kv_heads; ++head) {
      sizes.push_back(OpenBytes(layers_[i].head_dim_k));
      if (!layers_[i].values_in_keys) {
        sizes.push_back(OpenBytes(layers_[i].head_dim_v));
      }
    }
  }
  n_open_blocks_ = PlaceInBlocks(sizes, open_places_);
}

// A head's queries are as large as the keys in 16 bits, for which a block or an open block has
// room.
void BlockLayout::PlaceQueryBlocks() {
  std::vector<uint64_t> sizes;
  for (const Layer& layer : layers_) {
    first_query_.push_back(sizes.size());
    sizes.insert(sizes.end(), layer.n_heads, OpenBytes(layer.head_dim_k));
  }
  n_query_blocks_ = PlaceInBlocks(sizes, query_places_);
}

void BlockLayout::PlaceStates() {
  std::vector<uint64_t> sizes;
  for (const Layer& layer : layers_) {
    first_state_.push_back(sizes.size());
    sizes.insert(sizes.end(), layer.state.n_memories,
                 AlignUp(layer.state.memory_bytes, kLayerAlignment));
    sizes.insert(sizes.end(), layer.state.n_inputs,
                 AlignUp(layer.state.input_bytes, kLayerAlignment));
  }
  n_state_blocks_ = PlaceInBlocks(sizes, state_places_);
}

// Rows that would lie before their codes where these are larger, as with very short heads, go to
// the place: so codes can be made of rows in this order, one head behind the other.
void BlockLayout::PlaceOriginals() {
  for (size_t i = 0; i < layers_.size(); ++i) {
    first_original_.push_back(original_places_.size());
    const Layer& layer = layers_[i];
    const KvPanel panels[] = {k_panel(i), v_panel(i)};
    uint64_t in_block = layer_offsets_[i];
    uint64_t beside = 0;
    bool fits = true;
    const uint64_t end = in_block + layer.n_kv_heads * (panels[0].bytes() + panels[1].bytes());
    for (const KvPanel& panel : panels) {
      const uint64_t bytes = OpenBytes(panel.dim);
      for (uint32_t head = 0; panel.dim > 0 && head < layer.n_kv_heads; ++head) {
        fits = fits && bytes >= panel.bytes() && in_block + bytes <= end;
        uint64_t& at = fits ? in_block : beside;
        original_places_.push_back({.in_block = fits, .offset = at});
        at += bytes;
      }
    }
    n_quantized_layers_ += is_quantized(i) ? 1U : 0U;
    original_bytes_ = std::max(original_bytes_, is_quantized(i) ? beside : 0);
    whole_block_bytes_ += AlignUp(
        layer.n_kv_heads * (OpenBytes(panels[0].dim) + OpenBytes(panels[1].dim)), kLayerAlignment);
  }
}

// A block is as large as the largest of them: that is more than it needs itself only where a model
// has a single layer with a single head, or next to nothing beside large states.
uint32_t BlockLayout::PlaceInBlocks(std::span<const uint64_t> sizes, std::vector<Place>& places) {
  if (sizes.empty()) {
    return 0;
  }
  block_bytes_ = std::max(block_bytes_, AlignUp(std::ranges::max(sizes), kLayerAlignment));
  Place place;
  for (const uint64_t size : sizes) {
    if (place.offset + size > block_bytes_) {
      place = {.block = place.block + 1, .offset = 0};
    }
    places.push_back(place);
    place.offset += size;
  }
  return place.block + 1;
}

KvPanel BlockLayout::k_panel(size_t layer_idx) const {
  const Layer& layer = layers_[layer_idx];
  return {.type = layer.type,
          .content = layer.values_in_keys ? KvContent::kLatents : KvContent::kKeys,
          .dim = layer.head_dim_k};
}

KvPanel BlockLayout::v_panel(size_t layer_idx) const {
  const Layer& layer = layers_[layer_idx];
  return {.type = layer.type,
          .content = KvContent::kValues,
          .dim = layer.values_in_keys ? 0 : layer.head_dim_v};
}

uint64_t BlockLayout::k_offset(size_t layer_idx, uint32_t kv_head) const {
  return layer_offsets_[layer_idx] + kv_head * k_panel(layer_idx).bytes();
}

uint64_t BlockLayout::v_offset(size_t layer_idx, uint32_t kv_head) const {
  const Layer& layer = layers_[layer_idx];
  if (layer.values_in_keys) {
    return k_offset(layer_idx, kv_head);
  }
  return k_offset(layer_idx, layer.n_kv_heads) + kv_head * v_panel(layer_idx).bytes();
}

uint64_t BlockLayout::k_stride(size_t layer_idx) const { return k_panel(layer_idx).stride(); }

uint64_t BlockLayout::v_stride(size_t layer_idx) const {
  return layers_[layer_idx].values_in_keys ? k_stride(layer_idx) : v_panel(layer_idx).stride();
}

BlockLayout::Place BlockLayout::open_k(size_t layer_idx, uint32_t kv_head) const {
  const size_t apart = layers_[layer_idx].values_in_keys ? 1 : 2;
  return open_places_[first_open_[layer_idx] + kv_head * apart];
}

BlockLayout::Place BlockLayout::open_v(size_t layer_idx, uint32_t kv_head) const {
  return layers_[layer_idx].values_in_keys
             ? open_k(layer_idx, kv_head)
             : open_places_[first_open_[layer_idx] + 2 * size_t{kv_head} + 1];
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
