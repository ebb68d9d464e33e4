#include "engine/memory_plan.h"

#include <string>

#include "base/bytes.h"
#include "base/checked.h"

namespace plimsoll::engine {
namespace {

// What buffers may lose to whole pages; a handful of buffers.
constexpr uint64_t kRounding = 64 * kKiB;
constexpr uint32_t kShortestUsefulContext = 256;

// A --memory value that is enough: whole MiB, rounded up.
std::string EnoughFor(uint64_t bytes) { return fmt::format("{}M", CeilDiv(bytes, kMiB)); }

}  // namespace

MemoryPlan PlanResident(const model::ModelNeeds& needs, uint64_t tokenizer_bytes, uint32_t n_ctx) {
  return {.dense = needs.weights.weights,
          .vocab = needs.weights.vocab + tokenizer_bytes,
          .experts = needs.weights.experts,
          .kv = kv::BlockPool::BlocksFor(n_ctx) * needs.kv_block,
          .scratch = needs.scratch + kRounding};
}

Result<> CheckFits(const MemoryPlan& plan, const model::ModelNeeds& needs, uint64_t tokenizer_bytes,
                   uint32_t n_ctx, uint64_t line) {
  if (plan.total() <= line) {
    return {};
  }
  uint32_t fitting = n_ctx;
  while (fitting > kShortestUsefulContext &&
         PlanResident(needs, tokenizer_bytes, fitting).total() > line) {
    fitting /= 2;
  }
  const bool shorter_fits = PlanResident(needs, tokenizer_bytes, fitting).total() <= line;
  return Fail(ErrorKind::kDoesNotFit,
              "the model needs {} and the line is {}: dense weights {}, vocabulary {}, experts {}, "
              "KV of {} tokens {}, scratch {}\nraise the line with --memory {}{}",
              FormatBytes(plan.total()), FormatBytes(line), FormatBytes(plan.dense),
              FormatBytes(plan.vocab), FormatBytes(plan.experts), n_ctx, FormatBytes(plan.kv),
              FormatBytes(plan.scratch), EnoughFor(plan.total()),
              shorter_fits ? fmt::format(", or shorten the context with -c {}", fitting) : "");
}

}  // namespace plimsoll::engine
