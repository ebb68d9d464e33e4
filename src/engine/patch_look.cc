#include "engine/patch_look.h"

#include <algorithm>
#include <array>

#include "base/invariant.h"

namespace plimsoll::engine {
namespace {

using kv::kBlockTokens;

Result<> Compute(model::Model& model, kv::KvSequence& sequence, std::span<const TokenId> block) {
  const uint32_t first = sequence.n_tokens() - kBlockTokens;
  std::array<model::ChunkToken, kBlockTokens> chunk;
  for (uint32_t done = 0; done < kBlockTokens;) {
    const uint32_t n = sequence.PassTokens(sequence.SlotOf(first + done),
                                           std::min(kBlockTokens - done, model.max_chunk()));
    for (uint32_t i = 0; i < n; ++i) {
      chunk[i] = {.token = block[done + i],
                  .position = sequence.PositionOf(first + done + i),
                  .slot = sequence.SlotOf(first + done + i),
                  .sequence = &sequence};
    }
    if (auto passed = model.Forward({.tokens = std::span(chunk).first(n)}, {}); !passed) {
      return passed;
    }
    done += n;
  }
  return {};
}

}  // namespace

Result<uint32_t> LookIfWanted(model::Model& model, kv::KvSequence& sequence,
                              std::span<const TokenId> patch, uint32_t n) {
  if (patch.empty() || !sequence.WantsLook(n)) {
    return 0;
  }
  const auto n_patch = static_cast<uint32_t>(patch.size());
  for (; !patch.empty(); patch = patch.subspan(kBlockTokens)) {
    Invariant(sequence.BeginLook(), "the block that looks is reserved with the sequence");
    auto computed = Compute(model, sequence, patch.first(kBlockTokens));
    sequence.EndLook(computed.has_value());
    if (!computed) {
      return Forward(computed);
    }
  }
  return n_patch;
}

}  // namespace plimsoll::engine
