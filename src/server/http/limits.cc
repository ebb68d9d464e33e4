#include "server/http/limits.h"

namespace plimsoll::server::http {

std::string_view BreachName(Breach breach) {
  constexpr std::array<std::string_view, kNBreaches> kNames = {
      "connections",  "connections_per_address",
      "header_bytes", "header_fields",
      "request_line", "header_time",
      "body_bytes",   "body_time",
      "idle",         "requests",
      "stall",        "memory"};
  return kNames[static_cast<size_t>(breach)];
}

}  // namespace plimsoll::server::http
