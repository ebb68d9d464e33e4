// The shape of UTF-8 (RFC 3629).
#pragma once

#include <cstddef>
#include <string_view>

namespace plimsoll {

// Bytes of the valid character that `text` starts with; 0 when it starts with none (overlong forms,
// surrogates and values above U+10FFFF are not valid).
[[nodiscard]] size_t Utf8Length(std::string_view text);

}  // namespace plimsoll
