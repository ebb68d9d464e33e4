// Stacks that hold each expert's gate and up projections as one matrix.
#pragma once

#include <vector>

#include "formats/catalogue.h"

namespace plimsoll::formats::gguf {

// "blk.<layer>.ffn_gate_up_exps.weight" as the two stacks that other files have, ffn_gate_exps and
// ffn_up_exps: of every expert the first half of the rows is gate, the second up. Any other tensor
// as it is.
[[nodiscard]] std::vector<TensorEntry> SplitJoinedExperts(TensorEntry tensor);

}  // namespace plimsoll::formats::gguf
