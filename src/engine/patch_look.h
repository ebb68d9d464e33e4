// A patch prompt looks at a sequence before something of it goes.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"
#include "base/result.h"
#include "kv/kv_sequence.h"
#include "model/model.h"

namespace plimsoll::engine {

// Before n tokens are appended to `sequence`: where that makes something go that a patch prompt
// decides (kv::policy::Eviction::has_patch), `patch`, whole blocks of tokens, is computed behind
// the newest token, block by block, and forgotten again. Nothing where there is none. How many
// tokens were computed; an error as Model::Forward. The sequence is as it was in any case.
[[nodiscard]] Result<uint32_t> LookIfWanted(model::Model& model, kv::KvSequence& sequence,
                                            std::span<const TokenId> patch, uint32_t n);

}  // namespace plimsoll::engine
