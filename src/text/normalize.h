// Unicode's normal forms.
#pragma once

#include <string>
#include <string_view>

#include "text/vocabulary.h"

namespace plimsoll::text {

// `text` in the normal form; ill-formed bytes stay as they are. `form` must not be kNone.
[[nodiscard]] std::string Normalize(std::string_view text, Normalization form);

}  // namespace plimsoll::text
