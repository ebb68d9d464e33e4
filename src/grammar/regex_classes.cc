#include "grammar/regex_classes.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "grammar/unicode_properties.h"

namespace plimsoll::grammar {
namespace {

using Ranges = std::vector<CodePointRange>;

// ECMA-262, 22.2.2.9 and 12.2 to 12.3: \d, \w, \s, and the ends of lines that `.` leaves out.
CodePoints Digits() { return CodePoints({{'0', '9'}}); }
CodePoints WordCharacters() { return CodePoints({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); }
CodePoints Spaces() {
  return CodePoints({{0x09, 0x0D},
                     {0x20, 0x20},
                     {0xA0, 0xA0},
                     {0x1680, 0x1680},
                     {0x2000, 0x200A},
                     {0x2028, 0x2029},
                     {0x202F, 0x202F},
                     {0x205F, 0x205F},
                     {0x3000, 0x3000},
                     {0xFEFF, 0xFEFF}});
}
CodePoints LineEnds() { return CodePoints({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}); }

CodePoints Just(char32_t code) { return CodePoints({{code, code}}); }

std::optional<CodePoints> ClassLetter(char32_t letter) {
  switch (letter) {
    case 'd':
      return Digits();
    case 'D':
      return Digits().Complement();
    case 'w':
      return WordCharacters();
    case 'W':
      return WordCharacters().Complement();
    case 's':
      return Spaces();
    case 'S':
      return Spaces().Complement();
    default:
      return std::nullopt;
  }
}

std::optional<char32_t> ControlLetter(char32_t letter) {
  switch (letter) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'v':
      return '\v';
    case 'f':
      return '\f';
    case 'r':
      return '\r';
    default:
      return std::nullopt;
  }
}

// Behind `\u`: four digits, a pair of surrogates, or any number of digits in braces.
std::optional<char32_t> ReadUnicode(PatternReader& in) {
  if (in.Accept('{')) {
    char32_t code = 0;
    size_t n_digits = 0;
    while (const auto digit = in.Hex(1)) {
      code = code << 4 | *digit;
      ++n_digits;
      if (code > kLastCodePoint) return std::nullopt;
    }
    return n_digits > 0 && in.Accept('}') ? std::optional(code) : std::nullopt;
  }
  const auto first = in.Hex(4);
  if (!first || *first < 0xD800 || *first > 0xDBFF) return first;
  if (!in.Accept('\\') || !in.Accept('u')) return std::nullopt;
  const auto second = in.Hex(4);
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return std::nullopt;
  return 0x10000 + ((*first - 0xD800) << 10) + (*second - 0xDC00);
}

// Behind `\p` or `\P`.
Result<CodePoints> ReadProperty(PatternReader& in, uint32_t byte, bool is_negated) {
  std::string name;
  if (!in.Accept('{')) return in.BadAt(byte, "\\p needs a name in braces, such as \\p{{L}}");
  while (!in.IsAtEnd() && in.Peek() != '}' && name.size() < 64) name += in.rest()[0], in.Take();
  if (!in.Accept('}')) return in.BadAt(byte, "the braces of this \\p are not closed");
  auto set = UnicodeProperty(name);
  if (!set) return in.BadAt(byte, "this property of \\p is not supported (general categories are)");
  return is_negated ? set->Complement() : std::move(*set);
}

Result<CodePoints> ReadCode(PatternReader& in, uint32_t byte, char32_t letter) {
  switch (letter) {
    case 'x':
      if (const auto code = in.Hex(2)) return Just(*code);
      return in.BadAt(byte, "\\x needs two hexadecimal digits");
    case 'u':
      if (const auto code = ReadUnicode(in)) return Just(*code);
      return in.BadAt(byte, "\\u needs four hexadecimal digits, or up to six in braces");
    case '0':
      if (in.IsAtEnd() || in.Peek() < '0' || in.Peek() > '9') return Just(0);
      return in.BadAt(byte, "octal escapes are not supported");
    default: {  // \c
      const char32_t control = in.IsAtEnd() ? 0 : in.Take();
      const char32_t lower = control | 0x20;
      if (lower >= 'a' && lower <= 'z') return Just(control & 0x1F);
      return in.BadAt(byte, "\\c needs a letter");
    }
  }
}

// Behind a backslash.
Result<CodePoints> ReadEscape(PatternReader& in, bool is_in_brackets) {
  const uint32_t byte = in.byte() - 1;
  if (in.IsAtEnd()) return in.BadAt(byte, "nothing follows this `\\`");
  const char32_t letter = in.Take();
  if (auto set = ClassLetter(letter)) return std::move(*set);
  if (const auto control = ControlLetter(letter)) return Just(*control);
  if (letter == 'p' || letter == 'P') return ReadProperty(in, byte, letter == 'P');
  if (letter == 'x' || letter == 'u' || letter == '0' || letter == 'c') {
    return ReadCode(in, byte, letter);
  }
  if (letter == 'b' && is_in_brackets) return Just('\b');
  if (letter == 'b' || letter == 'B') {
    return in.BadAt(byte, "the edges of words, \\b and \\B, are not supported");
  }
  if (letter == 'k' || (letter >= '1' && letter <= '9')) {
    return in.BadAt(byte, "references to groups are not supported");
  }
  const bool is_letter = (letter | 0x20) >= 'a' && (letter | 0x20) <= 'z';
  if (is_letter || letter == '_') return in.BadAt(byte, "this escape is not supported");
  return Just(letter);
}

// One character or set inside brackets.
Result<CodePoints> ReadMember(PatternReader& in) {
  if (in.Accept('\\')) return ReadEscape(in, true);
  return Just(in.Take());
}

std::optional<char32_t> SingleOf(const CodePoints& set) {
  const auto& ranges = set.ranges();
  const bool is_single = ranges.size() == 1 && ranges[0].first == ranges[0].last;
  return is_single ? std::optional(ranges[0].first) : std::nullopt;
}

// Behind the bracket.
Result<CodePoints> ReadBrackets(PatternReader& in) {
  const uint32_t start = in.byte() - 1;
  const bool is_negated = in.Accept('^');
  Ranges ranges;
  while (!in.Accept(']')) {
    if (in.IsAtEnd()) return in.BadAt(start, "this `[` is not closed");
    const uint32_t byte = in.byte();
    auto member = ReadMember(in);
    if (!member) return member;
    const bool is_range = in.rest().starts_with('-') && !in.rest().starts_with("-]");
    if (!is_range) {
      ranges.insert(ranges.end(), member->ranges().begin(), member->ranges().end());
      continue;
    }
    in.Accept('-');
    if (in.IsAtEnd()) return in.BadAt(start, "this `[` is not closed");
    auto last = ReadMember(in);
    if (!last) return last;
    const auto from = SingleOf(*member);
    const auto to = SingleOf(*last);
    if (!from || !to || *from > *to) {
      return in.BadAt(byte, "a range whose ends are not two characters in ascending order");
    }
    ranges.push_back({*from, *to});
  }
  CodePoints set(std::move(ranges));
  return is_negated ? set.Complement() : std::move(set);
}

}  // namespace

Result<CodePoints> ReadCharacters(PatternReader& in) {
  if (in.Accept('.')) return LineEnds().Complement();
  if (in.Accept('[')) return ReadBrackets(in);
  if (in.Accept('\\')) return ReadEscape(in, false);
  return Just(in.Take());
}

}  // namespace plimsoll::grammar
