// How a line is divided before anything is loaded, or why it is too low.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "model/model.h"

namespace plimsoll::engine {

struct MemoryPlan {
  uint64_t dense = 0;
  uint64_t vocab = 0;  // matrices and tokenizer
  uint64_t experts = 0;
  uint64_t kv = 0;
  uint64_t scratch = 0;

  [[nodiscard]] uint64_t total() const { return dense + vocab + experts + kv + scratch; }
};

// What a model takes when all of it is resident, with a context of n_ctx tokens.
[[nodiscard]] MemoryPlan PlanResident(const model::ModelNeeds& needs, uint64_t tokenizer_bytes,
                                      uint32_t n_ctx);

// kDoesNotFit with the parts, the line, and what would fit: a higher line, or a shorter context.
[[nodiscard]] Result<> CheckFits(const MemoryPlan& plan, const model::ModelNeeds& needs,
                                 uint64_t tokenizer_bytes, uint32_t n_ctx, uint64_t line);

}  // namespace plimsoll::engine
