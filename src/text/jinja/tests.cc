// Tests: what stands after `is`, and in selectattr.
#include <cmath>
#include <functional>
#include <unordered_map>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

using Test = bool (*)(const Value& value);
using BinaryTest = bool (*)(const Value& value, const Value& other, Budget& budget);

bool IsOdd(const Value& value) {
  if (!value.is(Kind::kInt)) StopRender("odd and even do not apply to {}", KindName(value));
  return std::fmod(value.number(), 2) != 0;
}

bool IsText(const Value& value) { return value.is(Kind::kString); }

const std::unordered_map<std::string_view, Test>& Tests() {
  static const std::unordered_map<std::string_view, Test> kTests = {
      {"boolean", [](const Value& v) { return v.is(Kind::kBool); }},
      {"callable", [](const Value& v) { return v.is(Kind::kCallable); }},
      {"odd", IsOdd},
      {"even", [](const Value& v) { return !IsOdd(v); }},
      {"true", [](const Value& v) { return v.is(Kind::kBool) && v.boolean(); }},
      {"false", [](const Value& v) { return v.is(Kind::kBool) && !v.boolean(); }},
      {"none", [](const Value& v) { return v.is(Kind::kNone); }},
      {"string", IsText},
      {"number", [](const Value& v) { return v.is_number() || v.is(Kind::kBool); }},
      {"integer", [](const Value& v) { return v.is(Kind::kInt); }},
      {"float", [](const Value& v) { return v.is(Kind::kDouble); }},
      {"iterable",
       [](const Value& v) {
         return IsText(v) || v.is(Kind::kList) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
       }},
      {"mapping", [](const Value& v) { return v.is(Kind::kDict); }},
      {"sequence",
       [](const Value& v) { return IsText(v) || v.is(Kind::kList) || v.is(Kind::kDict); }},
      {"lower", [](const Value& v) { return IsText(v) && ToLower(v.string()) == v.string(); }},
      {"upper", [](const Value& v) { return IsText(v) && ToUpper(v.string()) == v.string(); }},
      {"defined", [](const Value& v) { return !v.is(Kind::kUndefined); }},
      {"undefined", [](const Value& v) { return v.is(Kind::kUndefined); }},
  };
  return kTests;
}

template <Op op>
bool Compares(const Value& value, const Value& other, Budget& budget) {
  return Truthy(Apply(op, value, other, budget));
}

bool IsDivisible(const Value& value, const Value& other, Budget& /*budget*/) {
  if (!value.is_number() || !other.is_number() || other.number() == 0) {
    StopRender("divisibleby needs two numbers");
  }
  return std::fmod(value.number(), other.number()) == 0;
}

const std::unordered_map<std::string_view, BinaryTest>& BinaryTests() {
  static const std::unordered_map<std::string_view, BinaryTest> kTests = {
      {"eq", Equal},
      {"equalto", Equal},
      {"sameas", Same},
      {"ne", Compares<Op::kNotEqual>},
      {"lt", Compares<Op::kLess>},
      {"le", Compares<Op::kLessEqual>},
      {"gt", Compares<Op::kGreater>},
      {"ge", Compares<Op::kGreaterEqual>},
      {"in", Compares<Op::kIn>},
      {"divisibleby", IsDivisible},
  };
  return kTests;
}

}  // namespace

bool ApplyTest(std::string_view name, const Value& operand, const std::vector<Value>& arguments,
               Budget& budget) {
  if (operand.is(Kind::kString)) budget.Work(operand.string().size());
  const auto unary = Tests().find(name);
  if (unary != Tests().end()) return unary->second(operand);
  const auto binary = BinaryTests().find(name);
  if (binary == BinaryTests().end()) StopRender("unknown test '{}'", name);
  if (arguments.empty()) StopRender("the test '{}' needs an argument", name);
  return binary->second(operand, arguments[0], budget);
}

}  // namespace plimsoll::text::jinja
