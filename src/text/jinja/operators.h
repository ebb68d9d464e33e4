// Operators on values, as Jinja in Python defines them.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/budget.h"

namespace plimsoll::text::jinja {

[[nodiscard]] bool Truthy(const Value& value);

// As in Python: true is 1, lists and dicts are compared by what is in them.
[[nodiscard]] bool Equal(const Value& a, const Value& b, Budget& budget);
// Lists and dicts are only themselves, and true is no number.
[[nodiscard]] bool Same(const Value& a, const Value& b, Budget& budget);

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
