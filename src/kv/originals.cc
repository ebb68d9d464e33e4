#include "kv/originals.h"

#include <algorithm>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::kv {

Originals::Originals(const BlockLayout& layout, uint32_t n, uint32_t n_blocks)
    : layout_(layout),
      n_blocks_(n_blocks),
      n_places_(n * layout.n_quantized_layers()),
      n_memory_blocks_(static_cast<uint32_t>(layout.BlocksForOriginals(n))),
      memory_(n_memory_blocks_),
      in_blocks_(layout.n_layers() * n_blocks),
      beside_(layout.n_layers() * n_blocks) {
  const std::vector<uint32_t> none(layout.n_layers() * n_blocks, kNone);
  free_.reserve(n_places_);
  Restore(none);
}

void Originals::Restore(std::span<const uint32_t> places) {
  places_.assign(places.begin(), places.end());
  std::vector<bool> used(n_places_);
  for (const uint32_t place : places_) {
    if (place != kNone) {
      used[place] = true;
    }
  }
  free_.clear();
  for (uint32_t place = n_places_; place-- > 0;) {
    if (!used[place]) {
      free_.push_back(place);
    }
  }
}

void Originals::SetMemory(std::span<std::byte* const> blocks) {
  Invariant(blocks.size() == memory_.size(), "places lie in as many blocks as they take");
  std::ranges::copy(blocks, memory_.begin());
  for (size_t i = 0; i < places_.size(); ++i) {
    beside_[i] = places_[i] == kNone ? nullptr : DataOf(places_[i]);
  }
}

void Originals::Add(uint32_t block) {
  for (size_t i = 0; i < layout_.n_layers(); ++i) {
    if (layout_.is_quantized(i)) {
      Invariant(!Has(i, block) && !free_.empty(), "a new block has a place in every layer");
      places_[At(i, block)] = free_.back();
      free_.pop_back();
    }
  }
}

void Originals::Remove(size_t layer_idx, uint32_t block) {
  const size_t at = At(layer_idx, block);
  free_.push_back(std::exchange(places_[at], kNone));
  in_blocks_[at] = nullptr;
  beside_[at] = nullptr;
}

void Originals::RemoveBlock(uint32_t block) {
  for (size_t i = 0; i < layout_.n_layers(); ++i) {
    if (Has(i, block)) {
      Remove(i, block);
    }
  }
}

void Originals::MoveBlock(uint32_t from, uint32_t to) {
  for (size_t i = 0; i < layout_.n_layers(); ++i) {
    places_[At(i, to)] = std::exchange(places_[At(i, from)], kNone);
    in_blocks_[At(i, to)] = std::exchange(in_blocks_[At(i, from)], nullptr);
    beside_[At(i, to)] = std::exchange(beside_[At(i, from)], nullptr);
  }
}

void Originals::Point(uint32_t block, std::byte* data) {
  for (size_t i = 0; i < layout_.n_layers(); ++i) {
    const size_t at = At(i, block);
    const bool has = places_[at] != kNone;
    in_blocks_[at] = has ? data : nullptr;
    beside_[at] = has ? DataOf(places_[at]) : nullptr;
  }
}

std::byte* Originals::DataOf(uint32_t place) const {
  const uint32_t per_block = layout_.originals_per_block();
  return memory_[place / per_block] + place % per_block * layout_.original_bytes();
}

}  // namespace plimsoll::kv
