#include "text/jinja/operators.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>

#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

[[noreturn]] void Refuse(std::string_view op, const Value& left, const Value& right) {
  StopRender("'{}' does not apply to {} and {}", op, KindName(left), KindName(right));
}

bool IsNumeric(const Value& value) { return value.is_number() || value.is(Kind::kBool); }

double NumericValue(const Value& value) {
  return value.is(Kind::kBool) ? static_cast<double>(value.boolean()) : value.number();
}

Value Power(const Value& left, const Value& right) {
  const double base = NumericValue(left);
  const double exponent = NumericValue(right);
  if (base == 0 && exponent < 0) StopRender("0.0 cannot be raised to a negative power");
  const double result = std::pow(base, exponent);
  const bool undefined = std::isinf(exponent) && std::abs(base) == 1;
  if (!std::isfinite(result) || undefined) StopRender("** gave no finite real number");
  const bool is_float = left.is(Kind::kDouble) || right.is(Kind::kDouble) || exponent < 0;
  return is_float ? Value(result) : IntegerFrom(result);
}

Value Arithmetic(Op op, const Value& left, const Value& right) {
  const double a = NumericValue(left);
  const double b = NumericValue(right);
  const auto result = [&](double number) {
    const bool is_float = left.is(Kind::kDouble) || right.is(Kind::kDouble);
    return is_float ? Value(number) : IntegerFrom(number);
  };
  const bool divides = op == Op::kDivide || op == Op::kFloorDivide || op == Op::kModulo;
  if (divides && b == 0) StopRender("division by zero");
  switch (op) {
    case Op::kAdd:
      return result(a + b);
    case Op::kSubtract:
      return result(a - b);
    case Op::kMultiply:
      return result(a * b);
    case Op::kDivide:
      return a / b;
    case Op::kFloorDivide:
      return result(std::floor(a / b));
    case Op::kModulo: {
      const double rest = std::fmod(a, b);  // of the sign of the divisor
      return result(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    default:
      Refuse("in", left, right);
  }
}

template <class T>
Value Compare(Op op, const T& a, const T& b) {
  switch (op) {
    case Op::kLess:
      return a < b;
    case Op::kGreater:
      return a > b;
    case Op::kLessEqual:
      return a <= b;
    default:
      return a >= b;
  }
}

bool IsComparison(Op op) {
  return op == Op::kLess || op == Op::kGreater || op == Op::kLessEqual || op == Op::kGreaterEqual;
}

// A string or list so many times.
Value Repeated(const Value& value, const Value& times, Budget& budget) {
  const bool is_text = value.is(Kind::kString);
  const size_t n_each = is_text ? value.string().size() : value.list().size();
  const double n = n_each == 0 ? 0 : std::max(NumericValue(times), 0.0);
  // More than any limit lets through, and not so much that its bytes cannot be counted.
  constexpr double kTooMany = 0x1p40;
  const auto n_bounded = static_cast<uint64_t>(std::min(n * static_cast<double>(n_each), kTooMany));
  is_text ? budget.CheckString(n_bounded) : budget.CheckList(n_bounded);
  if (is_text) {
    std::string text;
    text.reserve(n_bounded);
    for (uint64_t i = 0; i < static_cast<uint64_t>(n); ++i) text += value.string();
    return budget.String(std::move(text));
  }
  std::vector<Value> items;
  items.reserve(n_bounded);
  for (uint64_t i = 0; i < static_cast<uint64_t>(n); ++i) {
    items.insert(items.end(), value.list().begin(), value.list().end());
  }
  return budget.List(std::move(items), value.is_tuple());
}

bool IsRepetition(const Value& left, const Value& right) {
  const bool is_count = right.is(Kind::kInt) || right.is(Kind::kBool);
  return is_count && (left.is(Kind::kString) || left.is(Kind::kList));
}

Value Joined(const Value& left, const Value& right, Budget& budget) {
  Buffer out(budget);
  Print(left, out);
  Print(right, out);
  return out.TakeValue();
}

Value AddLists(const Value& left, const Value& right, Budget& budget) {
  budget.CheckList(left.list().size() + right.list().size());
  std::vector<Value> items = left.list();
  items.insert(items.end(), right.list().begin(), right.list().end());
  return budget.List(std::move(items));
}

bool Contains(const Value& container, const Value& wanted, Budget& budget) {
  if (container.is(Kind::kUndefined)) return false;
  if (container.is(Kind::kList)) {
    return std::ranges::any_of(container.list(),
                               [&](const Value& item) { return Equal(item, wanted, budget); });
  }
  if (wanted.is(Kind::kString) && container.is(Kind::kString)) {
    budget.Work(container.string().size());
    const std::string& text = container.string();
    const std::string& part = wanted.string();
    return std::search(text.begin(), text.end(),
                       std::boyer_moore_horspool_searcher(part.begin(), part.end())) !=
               text.end() ||
           part.empty();
  }
  if (container.is(Kind::kDict) && !wanted.is(Kind::kList) && !wanted.is(Kind::kDict)) {
    return wanted.is(Kind::kString) && container.dict().Find(wanted.string()) != nullptr;
  }
  Refuse("in", wanted, container);
}

}  // namespace

std::string_view KindName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "an undefined value";
    case Kind::kNone:
      return "none";
    case Kind::kBool:
      return "a boolean";
    case Kind::kInt:
      return "an integer";
    case Kind::kDouble:
      return "a float";
    case Kind::kString:
      return "a string";
    case Kind::kList:
      return value.is_tuple() ? "a tuple" : "a list";
    case Kind::kDict:
      return "a dict";
    case Kind::kNamespace:
      return "a namespace";
    case Kind::kCallable:
      return "a function";
  }
  return "";
}

bool Truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean();
    case Kind::kInt:
    case Kind::kDouble:
      return value.number() != 0 && !std::isnan(value.number());
    case Kind::kString:
      return !value.string().empty();
    case Kind::kList:
      return !value.list().empty();
    case Kind::kDict:
      return value.dict().size() > 0;
    case Kind::kNamespace:
    case Kind::kCallable:
      return true;
  }
  return false;
}

Value IntegerFrom(double number) {
  const bool exact = std::abs(number) < 0x1p53 && std::trunc(number) == number;
  if (exact && !(number == 0 && std::signbit(number))) return static_cast<int64_t>(number);
  return Value::WideInteger{number};
}

double NumberFromText(std::string_view text) {
  text = Trim(text);
  if (text.empty()) return 0;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  double number = kNaN;
  if (text == "Infinity") {
    number = HUGE_VAL;
  } else if (!text.empty() && (IsDigit(text[0]) || text[0] == '.')) {
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, number);
    if (end != last || error == std::errc::invalid_argument) return kNaN;
    if (error == std::errc::result_out_of_range) number = HUGE_VAL;
  }
  return negative ? -number : number;
}

bool Equal(const Value& a, const Value& b, Budget& budget) {
  budget.Step();
  if (IsNumeric(a) && IsNumeric(b)) {
    if (a.exact_integer() != nullptr && b.exact_integer() != nullptr) {
      return *a.exact_integer() == *b.exact_integer();
    }
    return NumericValue(a) == NumericValue(b);
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      budget.Work(a.string().size());
      return a.string() == b.string();
    case Kind::kList:
      return a.is_tuple() == b.is_tuple() &&
             std::ranges::equal(a.list(), b.list(), [&](const Value& x, const Value& y) {
               return Equal(x, y, budget);
             });
    case Kind::kDict:
      return a.dict().size() == b.dict().size() &&
             std::ranges::all_of(a.dict().members(), [&](const Member& member) {
               const Value* other = b.dict().Find(member.first);
               return other != nullptr && Equal(member.second, *other, budget);
             });
    default:
      return a.identity() == b.identity();
  }
}

bool Same(const Value& a, const Value& b, Budget& budget) {
  if (a.kind() != b.kind()) return false;
  const bool has_parts = a.is(Kind::kList) || a.is(Kind::kDict);
  return has_parts ? a.identity() == b.identity() : Equal(a, b, budget);
}

Value Apply(Op op, const Value& left, const Value& right, Budget& budget) {
  if (op == Op::kEqual) return Equal(left, right, budget);
  if (op == Op::kNotEqual) return !Equal(left, right, budget);
  if (op == Op::kConcatenate) return Joined(left, right, budget);
  if (op == Op::kIn || op == Op::kNotIn) return Contains(right, left, budget) == (op == Op::kIn);
  for (const Value* side : {&left, &right}) {
    if (side->is(Kind::kUndefined) || side->is(Kind::kNone)) {
      StopRender("an operator does not apply to {}", KindName(*side));
    }
  }
  if (op == Op::kPower && IsNumeric(left) && IsNumeric(right)) return Power(left, right);
  if (IsNumeric(left) && IsNumeric(right)) {
    return IsComparison(op) ? Compare(op, NumericValue(left), NumericValue(right))
                            : Arithmetic(op, left, right);
  }
  if (IsComparison(op) && left.is(Kind::kString) && right.is(Kind::kString)) {
    budget.Work(left.string().size());
    return Compare(op, left.string(), right.string());  // bytes are ordered as code points are
  }
  if (op == Op::kMultiply && IsRepetition(left, right)) return Repeated(left, right, budget);
  if (op == Op::kMultiply && IsRepetition(right, left)) return Repeated(right, left, budget);
  if (op == Op::kAdd) {
    if (left.is(Kind::kList) && right.is(Kind::kList)) return AddLists(left, right, budget);
    if (left.is(Kind::kString) && right.is(Kind::kString)) return Joined(left, right, budget);
  }
  StopRender("an operator does not apply to {} and {}", KindName(left), KindName(right));
}

int CompareForSort(const Value& a, const Value& b, bool case_sensitive) {
  const bool both_none = a.is(Kind::kNone) && b.is(Kind::kNone);
  const bool both_undefined = a.is(Kind::kUndefined) && b.is(Kind::kUndefined);
  if (both_none || both_undefined) return 0;
  if (IsNumeric(a) && IsNumeric(b)) {
    const double x = NumericValue(a);
    const double y = NumericValue(b);
    return static_cast<int>(x > y) - static_cast<int>(x < y);
  }
  if (!a.is(Kind::kString) || !b.is(Kind::kString)) {
    StopRender("cannot sort {} and {}", KindName(a), KindName(b));
  }
  if (case_sensitive) return CompareUtf16(a.string(), b.string());
  return CompareUtf16(ToLower(a.string()), ToLower(b.string()));
}

}  // namespace plimsoll::text::jinja
