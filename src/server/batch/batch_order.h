// The order in which a batch whose requests are all known is computed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace plimsoll::server::batch {

// A prompt as a row of hashes, each of a block of tokens and of all before it: equal hashes, equal
// beginnings. 8 bytes for kTokensOfBlock tokens, so that a hundred thousand prompts fit.
inline constexpr uint32_t kTokensOfBlock = 32;
struct PromptShape {
  std::vector<uint64_t> blocks;
  double n_prompt = 0;  // tokens
  double n_output = 0;  // that the answer is expected to have
};

[[nodiscard]] PromptShape ShapeOf(std::span<const TokenId> prompt, double n_output);

// Indices into `prompts`. Those that begin alike are together, and within them those that begin
// alike for longer, so that a beginning is computed once and is needed no more when the last of
// them has started; where the rows part, what has the longest answers for its prompts goes first:
// long answers then run beside the prompts of those that follow. After BatchLLM (MLSys 2026), with
// the whole tree instead of one level of it. Equal ones stay in their order.
[[nodiscard]] std::vector<size_t> OrderByPrefix(std::span<const PromptShape> prompts);

}  // namespace plimsoll::server::batch
