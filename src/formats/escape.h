// Text from a file, made safe to show in a terminal or a log line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace plimsoll::formats {

// `text` with control characters, bytes that are no UTF-8 and direction overrides written as \n,
// \t, \xNN or \u{N}, and backslashes doubled. Text longer than `max_bytes` is cut and ends in "…".
[[nodiscard]] std::string Escape(std::string_view text, size_t max_bytes = 120);

}  // namespace plimsoll::formats
