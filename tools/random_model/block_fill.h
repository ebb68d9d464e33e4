// Random weights in GGUF's block formats, made directly: random quants under scales such that the
// dequantized values have mean 0 and the r.m.s. asked for. Nothing is quantized, so a file of any
// size is made as fast as its bytes can be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tools/random_model/random_stream.h"

namespace plimsoll::random_model {

// Fills whole blocks of `dtype`; out.size() is a multiple of its block's bytes. `mean` is honoured
// by the float types only.
void FillWeights(tensor::DType dtype, RandomStream& random, double rms, double mean,
                 std::span<std::byte> out);

}  // namespace plimsoll::random_model
