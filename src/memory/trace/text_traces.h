// Readers for the text formats in which other engines write their routing.
#pragma once

#include <string_view>

#include "base/result.h"
#include "memory/trace/trace.h"

namespace plimsoll::memory::trace {

// BigMoeOnEdge's `route_trace v1`: CSV with a row a token, layer and chosen expert. Its prompt is
// one pass for each turn. `name` is for messages. kFailed on anything malformed, with its line.
[[nodiscard]] Result<Trace> ParseRouteTraceV1(std::string_view text, std::string_view name);

// colibri's ROUTE_TRACE: a line a layer call and row, "CALL ROW LAYER EXPERT:GATE ...". It says
// neither how many experts there are (taken from the highest id) nor what is a prompt (taken to be
// the calls of more than one row).
[[nodiscard]] Result<Trace> ParseColibriRouteTrace(std::string_view text, std::string_view name);

[[nodiscard]] bool LooksLikeRouteTraceV1(std::string_view text);

}  // namespace plimsoll::memory::trace
