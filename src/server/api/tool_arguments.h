// The arguments of a tool call, for the dialects that want an object where models write a text.
#pragma once

#include <string>
#include <string_view>

namespace plimsoll::server::api {

// The object that `text` is, on one line; of an empty text "{}". A text that is no JSON object (a
// call that was cut off, or a model that cannot do better) is kept as {"raw_arguments": text}.
[[nodiscard]] std::string ArgumentsObject(std::string_view text);

}  // namespace plimsoll::server::api
