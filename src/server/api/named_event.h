// One event of a server-sent event stream that has a name, as Anthropic's and the Responses API's.
#pragma once

#include <string>
#include <string_view>

namespace plimsoll::server::api {

// `json` is on one line.
[[nodiscard]] inline std::string NamedEvent(std::string_view name, std::string_view json) {
  std::string text;
  text.reserve(name.size() + json.size() + 16);
  return text.append("event: ").append(name).append("\ndata: ").append(json).append("\n\n");
}

}  // namespace plimsoll::server::api
