// The target of a request line.
#pragma once

#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "server/http/http_error.h"

namespace plimsoll::server::http {

struct Target {
  std::string path;   // decoded, begins with "/"; "*" of an OPTIONS request for the whole server
  std::string query;  // behind the "?", as it came
};

// Accepts "/path?query", "*", and "http://host/path" or "https://..." (whose host is that of the
// Host header or it is refused). Strict: percent signs have two hex digits; no control character,
// backslash or byte above 0x7e stands for itself; the decoded path is UTF-8 without control
// characters and has no segment "." or ".."; no fragment.
[[nodiscard]] tl::expected<Target, HttpError> ParseTarget(std::string_view target,
                                                          std::string_view host);

}  // namespace plimsoll::server::http
