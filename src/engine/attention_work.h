#pragma once

#include <cstdint>

#include "engine/engine.h"
#include "kv/block_pool.h"
#include "model/hyper_params.h"

namespace plimsoll::engine {

// Of the token at a position whose sequence has every position before it: each layer reads the keys
// and values that its window allows, once for all heads that share them, and multiplies every
// head's query and score by them. Keys and values as `layout` has them.
[[nodiscard]] AttentionWork AttentionAt(const model::HyperParams& hp, const kv::BlockLayout& layout,
                                        uint32_t position);

}  // namespace plimsoll::engine
