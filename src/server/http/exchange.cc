#include "server/http/exchange.h"

#include <algorithm>

namespace plimsoll::server::http {

std::optional<std::string_view> Request::Header(std::string_view name) const {
  const auto found = std::ranges::find_if(headers, [&](const auto& h) { return h.first == name; });
  return found == headers.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

}  // namespace plimsoll::server::http
