// Filters of Jinja that the reference lacks, for templates that need them.
#pragma once

#include <optional>
#include <string_view>

#include "text/jinja/interpreter.h"

namespace plimsoll::text::jinja {

// d, count, round, min, max, sum, select, reject, map by filter, groupby, batch, e and escape; none
// when the filter is none of these, or not for this kind.
[[nodiscard]] std::optional<Value> ExtraFilter(Interpreter& interpreter, std::string_view name,
                                               const Value& operand, const CallArguments& arguments,
                                               const ScopePtr& scope);

// The member at a dotted path of names and indices; undefined if there is none.
[[nodiscard]] Value AttributeAt(const Value& item, std::string_view path);

}  // namespace plimsoll::text::jinja
