// The piece of recurrent layers: a short convolution and the gated delta rule (Yang et al., "Gated
// Delta Networks", arXiv:2412.06464), as Qwen3-Next has them.
#pragma once

#include "kv/block_pool.h"
#include "model/hyper_params.h"

namespace plimsoll::model {

// Of the inputs that a token's convolution sees.
inline constexpr uint32_t kMaxConvWidth = 16;

// What a layer keeps of a sequence: kernels::kDeltaLanes value dimensions of a head's memory in a
// piece, and in another the last conv_width - 1 inputs of a query, key or value head.
[[nodiscard]] kv::BlockLayout::StatePieces StatePiecesOf(const DeltaParams& delta);

}  // namespace plimsoll::model
