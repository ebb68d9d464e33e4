#include "grammar/number_range.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace plimsoll::grammar {
namespace {

constexpr size_t kMaxBoundDigits = 32;
constexpr size_t kMaxIntegerDigits = 16;
constexpr size_t kMaxFractionDigits = 6;
constexpr size_t kMaxMultipleDigits = 15;  // doubles hold these exactly

int CompareMagnitudes(const Decimal& a, const Decimal& b) {
  if (a.integer.size() != b.integer.size()) return a.integer.size() < b.integer.size() ? -1 : 1;
  const int by_integer = a.integer.compare(b.integer);
  return by_integer != 0 ? by_integer : a.fraction.compare(b.fraction);
}

// The magnitudes between two bounds.
class MagnitudeEmitter {
 public:
  MagnitudeEmitter(JsonGrammar& json, NumberBound lower, std::optional<NumberBound> upper,
                   bool is_integer, uint32_t divisor)
      : json_(json),
        builder_(json.builder()),
        lower_(std::move(lower)),
        upper_(std::move(upper)),
        is_integer_(is_integer),
        divisor_(divisor) {
    n_fraction_ = std::max(kMaxFractionDigits, lower_.value.fraction.size() + 1);
    if (upper_) n_fraction_ = std::max(n_fraction_, upper_->value.fraction.size());
  }

  void Emit(std::vector<Sequence>& ways) {
    const size_t least = lower_.value.integer.size();
    const size_t open_end = divisor_ > 1 ? kMaxMultipleDigits : kMaxIntegerDigits;
    const size_t most = upper_ ? upper_->value.integer.size() : std::max(open_end, least + 1);
    if (least > most) return;
    ways.push_back({WithDigits(least, true, upper_ && most == least)});
    if (most == least) return;
    const size_t most_free = upper_ ? most - 1 : most;
    if (divisor_ > 1) {
      for (size_t n = least + 1; n <= most_free && !builder_.is_full(); ++n) {
        ways.push_back({WithDigits(n, false, false)});
      }
    } else if (most_free > least) {
      const Symbol more = builder_.Repeat(json_.Digit(), static_cast<uint32_t>(least),
                                          static_cast<uint32_t>(most_free - 1));
      ways.push_back({json_.Digits('1', '9'), more, FreeFraction()});
    }
    if (upper_) ways.push_back({WithDigits(most, false, true)});
  }

 private:
  // Where in a number, and whether it has been the same as a bound so far.
  struct Place {
    bool is_fraction;
    size_t at;
    bool is_lower;
    bool is_upper;
    uint32_t remainder = 0;  // of the digits so far

    auto operator<=>(const Place&) const = default;
  };

  static char DigitAt(const NumberBound& bound, const Place& place) {
    const std::string& digits = place.is_fraction ? bound.value.fraction : bound.value.integer;
    return place.at < digits.size() ? digits[place.at] : '0';
  }

  // Whether the number may end with `n_said` digits behind the point.
  bool MayEnd(size_t n_said, bool is_lower, bool is_upper) const {
    if (is_lower && (n_said < lower_.value.fraction.size() || lower_.is_exclusive)) return false;
    return !is_upper || n_said < upper_->value.fraction.size() || !upper_->is_exclusive;
  }

  Symbol FreeFraction() {
    if (is_integer_) return builder_.Concatenation({});
    const Symbol digits = builder_.Repeat(json_.Digit(), 1, static_cast<uint32_t>(n_fraction_));
    return builder_.Repeat(builder_.Concatenation({builder_.Byte('.'), digits}), 0, 1);
  }

  // Numbers with so many digits before the point.
  Symbol WithDigits(size_t n_digits, bool is_lower, bool is_upper) {
    states_.clear();
    n_integer_ = n_digits;
    if (divisor_ == 1 || is_lower || is_upper || n_digits == 0) {
      return State({false, 0, is_lower, is_upper});
    }
    const RuleId rule = builder_.Declare();
    AddMultiples(rule, '1', n_digits, 0);
    return GrammarBuilder::Reference(rule);
  }

  // A digit from `low` on, and what makes a multiple with those behind it.
  void AddMultiples(RuleId rule, char low, size_t n_digits, uint32_t remainder) {
    std::map<uint32_t, ByteSet> digits;
    for (char digit = low; digit <= '9'; ++digit) {
      digits[After(remainder, digit)].set(static_cast<uint8_t>(digit));
    }
    for (const auto& [next, set] : digits) {
      builder_.Add(rule, {builder_.Bytes(set), Multiples(n_digits - 1, next)});
    }
  }

  Symbol Multiples(size_t n_digits, uint32_t remainder) {
    const auto known = multiples_.find({n_digits, remainder});
    if (known != multiples_.end()) return known->second;
    const RuleId rule = builder_.Declare();
    const Symbol symbol = GrammarBuilder::Reference(rule);
    multiples_.emplace(std::pair(n_digits, remainder), symbol);
    if (n_digits == 0 && remainder == 0) builder_.Add(rule, {});
    if (n_digits > 0 && !builder_.is_full()) AddMultiples(rule, '0', n_digits, remainder);
    return symbol;
  }

  uint32_t After(uint32_t remainder, char digit) const {
    return (remainder * 10 + static_cast<uint32_t>(digit - '0')) % divisor_;
  }

  // What may follow at `place`. As deep as a number has digits.
  Symbol State(const Place& place) {
    const auto known = states_.find(place);
    if (known != states_.end()) return known->second;
    const RuleId rule = builder_.Declare();
    if (!place.is_fraction && place.at == n_integer_) {
      AfterInteger(rule, place);
    } else if (!place.is_lower && !place.is_upper && divisor_ > 1) {
      builder_.Add(rule, {Multiples(n_integer_ - place.at, place.remainder)});
    } else if (!place.is_lower && !place.is_upper) {
      FreeDigits(rule, place);
    } else {
      if (place.is_fraction && place.at > 0 && MayEnd(place.at, place.is_lower, place.is_upper)) {
        builder_.Add(rule, {});
      }
      NextDigit(rule, place);
    }
    return states_.emplace(place, GrammarBuilder::Reference(rule)).first->second;
  }

  void AfterInteger(RuleId rule, const Place& place) {
    if (place.remainder == 0 && MayEnd(0, place.is_lower, place.is_upper)) builder_.Add(rule, {});
    if (!is_integer_) {
      builder_.Add(rule, {builder_.Byte('.'), State({true, 0, place.is_lower, place.is_upper})});
    }
  }

  void FreeDigits(RuleId rule, const Place& place) {
    if (place.is_fraction) {
      const auto n_least = place.at == 0 ? 1U : 0U;
      const auto n_most = static_cast<uint32_t>(n_fraction_ - place.at);
      builder_.Add(rule, {builder_.Repeat(json_.Digit(), n_least, n_most)});
      return;
    }
    const auto n_digits = static_cast<uint32_t>(n_integer_ - place.at);
    builder_.Add(rule, {builder_.Repeat(json_.Digit(), n_digits, n_digits), FreeFraction()});
  }

  void NextDigit(RuleId rule, const Place& place) {
    if (place.is_fraction && place.at == n_fraction_) return;
    const bool is_first = !place.is_fraction && place.at == 0 && n_integer_ > 1;
    const char low = place.is_lower ? DigitAt(lower_, place) : is_first ? '1' : '0';
    const char high = place.is_upper ? DigitAt(*upper_, place) : '9';
    std::map<Place, ByteSet> digits;
    for (char digit = low; digit <= high; ++digit) {
      const Place next{.is_fraction = place.is_fraction,
                       .at = place.at + 1,
                       .is_lower = place.is_lower && digit == low,
                       .is_upper = place.is_upper && digit == high,
                       .remainder = After(place.remainder, digit)};
      digits[next].set(static_cast<uint8_t>(digit));
    }
    for (const auto& [next, set] : digits) {
      builder_.Add(rule, {builder_.Bytes(set), State(next)});
    }
  }

  JsonGrammar& json_;
  GrammarBuilder& builder_;
  NumberBound lower_;
  std::optional<NumberBound> upper_;
  bool is_integer_;
  uint32_t divisor_;
  size_t n_fraction_ = 0;
  size_t n_integer_ = 0;
  std::map<Place, Symbol> states_;
  std::map<std::pair<size_t, uint32_t>, Symbol> multiples_;  // by digits to come and remainder
};

NumberBound Negated(NumberBound bound) {
  bound.value.is_negative = !bound.value.is_negative && !bound.value.IsZero();
  return bound;
}

}  // namespace

std::optional<Decimal> DecimalOf(const JsonNode& node) {
  std::string text = node.kind == JsonNode::Kind::kInteger    ? std::to_string(node.integer)
                     : node.kind == JsonNode::Kind::kUnsigned ? std::to_string(node.natural)
                                                              : fmt::format("{}", node.number);
  Decimal decimal;
  decimal.is_negative = text.starts_with('-');
  if (decimal.is_negative) text.erase(0, 1);
  int exponent = 0;
  if (const size_t e = text.find('e'); e != std::string::npos) {
    const size_t digits = text[e + 1] == '+' ? e + 2 : e + 1;
    std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
    text.resize(e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  const auto place = static_cast<int>(point) + exponent;  // of the point among the digits
  if (point < text.size()) text.erase(point, 1);
  const auto n_digits = static_cast<int>(text.size());
  if (place > static_cast<int>(kMaxBoundDigits) ||
      n_digits - place > static_cast<int>(kMaxBoundDigits)) {
    return std::nullopt;
  }
  if (place <= 0) text.insert(0, static_cast<size_t>(1 - place), '0');
  const auto n_integer = static_cast<size_t>(std::max(place, 1));
  if (text.size() < n_integer) text.resize(n_integer, '0');
  decimal.integer = text.substr(0, n_integer);
  decimal.fraction = text.substr(n_integer);
  decimal.integer.erase(0, std::min(decimal.integer.find_first_not_of('0'), n_integer - 1));
  decimal.fraction.resize(decimal.fraction.find_last_not_of('0') + 1);
  decimal.is_negative = decimal.is_negative && !decimal.IsZero();
  return decimal;
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.is_negative != b.is_negative) return a.is_negative ? -1 : 1;
  return a.is_negative ? -CompareMagnitudes(a, b) : CompareMagnitudes(a, b);
}

void NumberRange::RaiseLower(NumberBound to) {
  const int order = lower ? Compare(to.value, lower->value) : 1;
  if (order > 0 || (order == 0 && to.is_exclusive)) lower = std::move(to);
}

void NumberRange::LowerUpper(NumberBound to) {
  const int order = upper ? Compare(to.value, upper->value) : -1;
  if (order < 0 || (order == 0 && to.is_exclusive)) upper = std::move(to);
}

bool NumberRange::Contains(const Decimal& value) const {
  const int above = lower ? Compare(value, lower->value) : 1;
  const int below = upper ? Compare(value, upper->value) : -1;
  return (above > 0 || (above == 0 && !lower->is_exclusive)) &&
         (below < 0 || (below == 0 && !upper->is_exclusive));
}

Symbol AddNumberRange(JsonGrammar& json, const NumberRange& range, bool is_integer,
                      uint32_t divisor) {
  GrammarBuilder& builder = json.builder();
  std::vector<Sequence> ways;
  const auto& [lower, upper] = range;
  const bool is_in_order = !lower || !upper || Compare(lower->value, upper->value) <= 0;
  const Decimal zero;
  if (is_in_order && (!lower || lower->value.is_negative)) {
    const bool is_all_negative = upper && Compare(upper->value, zero) <= 0;
    const NumberBound least = is_all_negative ? Negated(*upper) : NumberBound{zero, true};
    std::optional<NumberBound> most;
    if (lower) most = Negated(*lower);
    std::vector<Sequence> magnitudes;
    // -0 is left to the other side.
    const bool is_up_to_zero = is_all_negative && upper->value.IsZero();
    MagnitudeEmitter(json, is_up_to_zero ? NumberBound{zero, true} : least, most, is_integer,
                     divisor)
        .Emit(magnitudes);
    ways.push_back({builder.Byte('-'), builder.Alternatives(std::move(magnitudes))});
  }
  if (is_in_order && (!upper || !upper->value.is_negative)) {
    const bool has_lower = lower && !lower->value.is_negative;
    MagnitudeEmitter(json, has_lower ? *lower : NumberBound{zero, false}, upper, is_integer,
                     divisor)
        .Emit(ways);
  }
  return builder.Alternatives(std::move(ways));
}

}  // namespace plimsoll::grammar
