#include "text/jinja/printing.h"

#include <array>
#include <charconv>
#include <cmath>

namespace plimsoll::text::jinja {

namespace {

// Significant digits and the decimal exponent of the first one.
struct Decimal {
  std::string digits;
  int exponent = 0;
};

Decimal ShortestDecimal(double number) {
  std::array<char, 40> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::scientific);
  const std::string_view scientific(text.data(), static_cast<size_t>(end - text.data()));
  const size_t e = scientific.find('e');
  Decimal decimal;
  for (const char c : scientific.substr(0, e)) {
    if (c != '.') decimal.digits += c;
  }
  const char* exponent = text.data() + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent, end, decimal.exponent);
  return decimal;
}

std::string PositiveText(double number) {
  Decimal decimal = ShortestDecimal(number);
  std::string& digits = decimal.digits;
  const auto count = static_cast<int>(digits.size());
  const int point = decimal.exponent + 1;  // digits before the decimal point
  if (point > 21 || point <= -6) {
    if (count > 1) digits.insert(1, ".");
    return fmt::format("{}e{}{}", digits, decimal.exponent < 0 ? '-' : '+',
                       std::abs(decimal.exponent));
  }
  if (point <= 0) return "0." + std::string(static_cast<size_t>(-point), '0') + digits;
  if (count <= point) return digits + std::string(static_cast<size_t>(point - count), '0');
  return digits.insert(static_cast<size_t>(point), ".");
}

std::string IntegerText(const Value& value) {
  if (const int64_t* exact = value.exact_integer()) return std::to_string(*exact);
  return NumberText(value.number());
}

std::string FloatText(double number) {
  if (number == 0 && std::signbit(number)) return "-0.0";
  std::string text = NumberText(number);
  const bool whole = std::isfinite(number) && std::trunc(number) == number;
  return whole && std::abs(number) < 1e21 ? text + ".0" : text;
}

[[noreturn]] void RefuseCallable() { StopRender("a macro or function cannot be printed"); }

}  // namespace

std::string NumberText(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  if (number == 0) return "0";
  return number < 0 ? "-" + PositiveText(-number) : PositiveText(number);
}

void PrintElement(const Value& value, Buffer& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return out.Append("undefined");
    case Kind::kNone:
      return out.Append("null");
    case Kind::kBool:
      return out.Append(value.boolean() ? "true" : "false");
    case Kind::kInt:
      return out.Append(IntegerText(value));
    case Kind::kDouble:
      return out.Append(FloatText(value.number()));
    case Kind::kString:
      return out.Append(value.string());
    case Kind::kList:
    case Kind::kDict:
    case Kind::kNamespace:
      return PrintJson(value, {.undefined_as_null = false}, out);
    case Kind::kCallable:
      RefuseCallable();
  }
}

void Print(const Value& value, Buffer& out) {
  if (!value.is(Kind::kNone) && !value.is(Kind::kUndefined)) PrintElement(value, out);
}

void PrintRaw(const Value& value, Buffer& out) {
  switch (value.kind()) {
    case Kind::kDouble:
      return out.Append(NumberText(value.number()));
    case Kind::kList: {
      bool first = true;
      for (const Value& item : value.list()) {
        if (!first) out.Append(',');
        first = false;
        PrintElement(item, out);
      }
      return;
    }
    case Kind::kDict:
    case Kind::kNamespace:
      return out.Append("[object Map]");
    default:
      return Print(value, out);
  }
}

std::string RawText(const Value& value, Budget& budget) {
  Buffer out(budget);
  PrintRaw(value, out);
  return out.Take();
}

}  // namespace plimsoll::text::jinja
