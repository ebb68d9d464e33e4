// Operators on values, as the reference defines them.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/budget.h"

namespace plimsoll::text::jinja {

[[nodiscard]] bool Truthy(const Value& value);

// == of JavaScript: numbers equal their text, none equals undefined, lists and dicts only
// themselves.
[[nodiscard]] bool LooselyEqual(const Value& a, const Value& b, Budget& budget);
// === of JavaScript.
[[nodiscard]] bool StrictlyEqual(const Value& a, const Value& b);

// Any operator but and and or. Throws Stop when it does not apply to the two kinds.
[[nodiscard]] Value Apply(Op op, const Value& left, const Value& right, Budget& budget);

// The integer that a computation in doubles gave.
[[nodiscard]] Value IntegerFrom(double number);

// Order for sorting; throws Stop when the kinds have none.
[[nodiscard]] int CompareForSort(const Value& a, const Value& b, bool case_sensitive);

// The number that JavaScript reads in a text, or NaN.
[[nodiscard]] double NumberFromText(std::string_view text);

[[nodiscard]] std::string_view KindName(const Value& value);

}  // namespace plimsoll::text::jinja
