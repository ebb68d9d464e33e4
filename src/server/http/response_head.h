// The text in front of a response's body.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/exchange.h"

namespace plimsoll::server::http {

struct HeadFacts {
  std::string_view request_id;
  bool is_http_1_0 = false;
  bool keep_alive = true;
  // Of a body whose length is known. Otherwise it is chunked, or ends with the connection when
  // that is HTTP/1.0.
  std::optional<uint64_t> content_length;
  std::vector<std::pair<std::string, std::string>> cors;
  double unix_seconds = 0;  // for Date
};

// Status line, headers, empty line. A header of the response whose name or value has characters
// that a header must not have is left out.
[[nodiscard]] std::string FormatHead(const Response& response, const HeadFacts& facts);

// Of a client, and fit to stand in a header and a log: 1 to 128 of A-Z a-z 0-9 . _ -
[[nodiscard]] bool IsRequestId(std::string_view text);

}  // namespace plimsoll::server::http
