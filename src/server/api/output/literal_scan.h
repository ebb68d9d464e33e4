// Values that models write in a notation other than JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/api/output/json_scan.h"

namespace plimsoll::server::api::output {

struct Literal {
  JsonSpan::State state = JsonSpan::State::kBad;
  size_t end = 0;    // as JsonSpan's
  std::string json;  // of a value that is whole
};

// The value that begins at `begin`, without white space before it, of Python (Llama 4 writes calls
// as Python does) or of Gemma 4: strings stand in single or double quotes, with escapes, or as they
// are between two <|"|>; True, False and None may be small, and None null; keys of objects may be
// bare words. Numbers are JSON's. Nested deeper than 128 levels: kBad.
[[nodiscard]] Literal ScanLiteral(std::string_view text, size_t begin);

}  // namespace plimsoll::server::api::output
