// Text that may come as tokens.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "server/api/json/fields.h"

namespace plimsoll::server::api::openai {

using TextOrTokens = std::variant<std::string, std::vector<TokenId>>;

// "text", ["text", ...], [1, 2, ...] (one text) or [[1, 2], ...]: one to `most` texts, each of at
// least a token or a byte.
[[nodiscard]] std::vector<TextOrTokens> ReadTexts(const Field& field, uint64_t most);

// Ids that are no negative numbers; whether the vocabulary has them is not known here.
[[nodiscard]] std::vector<TokenId> ReadTokens(const Field& field, uint64_t least);

}  // namespace plimsoll::server::api::openai
