#include "text/jinja/printing.h"

#include <array>
#include <charconv>
#include <cmath>

#include "text/jinja/unicode.h"
#include "text/utf8.h"

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

[[noreturn]] void RefuseCallable() { StopRender("a macro or function cannot be printed"); }

std::string Escaped(uint32_t code_point) {
  if (code_point < 0x100) return fmt::format("\\x{:02x}", code_point);
  if (code_point < 0x10000) return fmt::format("\\u{:04x}", code_point);
  return fmt::format("\\U{:08x}", code_point);
}

// As Python's repr: in single quotes, unless only these are in the text.
void PrintQuoted(std::string_view text, Buffer& out) {
  const bool twice = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = twice ? '"' : '\'';
  std::string quoted(1, quote);
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const DecodedChar c = DecodeChar(rest);
    at += c.length;
    if (c.code_point == static_cast<uint8_t>(quote) || c.code_point == '\\') {
      (quoted += '\\') += rest[0];
    } else if (rest[0] == '\n' || rest[0] == '\r' || rest[0] == '\t') {
      (quoted += '\\') += rest[0] == '\n' ? 'n' : rest[0] == '\r' ? 'r' : 't';
    } else if (c.valid && !IsPrintable(c.code_point)) {
      quoted += Escaped(c.code_point);
    } else {
      quoted += rest.substr(0, c.length);
    }
  }
  out.Append(quoted += quote);
}

void PrintItems(const Value& list, Buffer& out) {
  out.Append(list.is_tuple() ? '(' : '[');
  bool first = true;
  for (const Value& item : list.list()) {
    if (!first) out.Append(", ");
    first = false;
    PrintElement(item, out);
  }
  if (list.is_tuple() && list.list().size() == 1) out.Append(',');
  out.Append(list.is_tuple() ? ')' : ']');
}

void PrintMembers(const Value& dict, Buffer& out) {
  out.Append('{');
  bool first = true;
  for (const auto& [key, value] : dict.dict().members()) {
    if (!first) out.Append(", ");
    first = false;
    PrintQuoted(key, out);
    out.Append(": ");
    PrintElement(value, out);
  }
  out.Append('}');
}

}  // namespace

std::string NumberText(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  if (number == 0) return "0";
  return number < 0 ? "-" + PositiveText(-number) : PositiveText(number);
}

std::string FloatText(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  if (number == 0) return std::signbit(number) ? "-0.0" : "0.0";
  std::string text = number < 0 ? "-" : "";
  Decimal decimal = ShortestDecimal(std::abs(number));
  std::string& digits = decimal.digits;
  if (decimal.exponent >= 16 || decimal.exponent < -4) {
    if (digits.size() > 1) digits.insert(1, ".");
    return text + fmt::format("{}e{}{:02}", digits, decimal.exponent < 0 ? '-' : '+',
                              std::abs(decimal.exponent));
  }
  text += PositiveText(std::abs(number));
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

void PrintElement(const Value& value, Buffer& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return out.Append("Undefined");
    case Kind::kString:
      return PrintQuoted(value.string(), out);
    case Kind::kList:
      return PrintItems(value, out);
    case Kind::kDict:
      return PrintMembers(value, out);
    default:
      return Print(value, out);
  }
}

void Print(const Value& value, Buffer& out) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return;
    case Kind::kNone:
      return out.Append("None");
    case Kind::kBool:
      return out.Append(value.boolean() ? "True" : "False");
    case Kind::kInt:
      return out.Append(IntegerText(value));
    case Kind::kDouble:
      return out.Append(FloatText(value.number()));
    case Kind::kString:
      return out.Append(value.string());
    case Kind::kList:
    case Kind::kDict:
      return PrintElement(value, out);
    case Kind::kNamespace:
      return PrintJson(value, {.undefined_as_null = false}, out);
    case Kind::kCallable:
      RefuseCallable();
  }
}

std::string PrintedText(const Value& value, Budget& budget) {
  Buffer out(budget);
  Print(value, out);
  return out.Take();
}

}  // namespace plimsoll::text::jinja
