// Keys in the cache that are to stand at another position than the one that they were made for.
//
// RoPE turns each pair of a key by position * frequency, and turns add up: a key that is turned by
// distance * frequency is the key of a position `distance` further, but for one more rounding to
// its 16 bits. That is the exact part of Kamera (arXiv:2606.23581); what a key owes to the tokens
// before it, in every layer but the first, stays as it was.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/team.h"
#include "kv/kv_sequence.h"
#include "model/hyper_params.h"
#include "model/rope.h"
#include "model/scratch.h"

namespace plimsoll::model {

// Slots [first, end) of a sequence, which alone uses their blocks.
struct KeyTurn {
  kv::KvSequence& sequence;
  uint32_t first = 0;
  uint32_t end = 0;
  int64_t distance = 0;  // in positions
};

// Turns their keys in all layers; of a latent only the part that RoPE is for. Keys are in 16 bits:
// quantized ones would be rounded to a few bits anew, and those that a Hadamard matrix went over
// have their pairs no more.
void TurnKeys(const KeyTurn& turn, const HyperParams& hp, const RopeTables& ropes,
              const kernels::KernelSet& kernels, kernels::Team& team, const Scratch& scratch);

}  // namespace plimsoll::model
