// Numbers between bounds, digit by digit.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "grammar/json_grammar.h"

namespace plimsoll::grammar {

// A number in decimal digits: no zeros in front but for the one before the point, none at the end.
struct Decimal {
  bool is_negative = false;  // never of 0
  std::string integer = "0";
  std::string fraction;

  [[nodiscard]] bool IsZero() const { return integer == "0" && fraction.empty(); }
};

// Of a number in a document; nullopt where it has more than 32 digits on one side of the point.
[[nodiscard]] std::optional<Decimal> DecimalOf(const JsonNode& node);
// Below 0, 0 or above 0 as a is less than, equal to or greater than b.
[[nodiscard]] int Compare(const Decimal& a, const Decimal& b);

struct NumberBound {
  Decimal value;
  bool is_exclusive = false;
};

struct NumberRange {
  std::optional<NumberBound> lower;
  std::optional<NumberBound> upper;

  // To what is in both.
  void RaiseLower(NumberBound to);
  void LowerUpper(NumberBound to);
  [[nodiscard]] bool Contains(const Decimal& value) const;
};

// The numbers of the range without an exponent: with up to 16 digits, or as many as the bounds
// have, before the point and, unless `is_integer`, up to 6 or as many more behind it. No way to say
// it where there is no such number. `divisor`: of integers only the multiples of it, and with up to
// 15 digits; at least 1.
[[nodiscard]] Symbol AddNumberRange(JsonGrammar& json, const NumberRange& range, bool is_integer,
                                    uint32_t divisor = 1);

}  // namespace plimsoll::grammar
