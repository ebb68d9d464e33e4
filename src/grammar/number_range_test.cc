#include "grammar/number_range.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "grammar/recognizer.h"

namespace plimsoll::grammar {
namespace {

Decimal ToDecimal(const std::string& text) {
  const auto tree = JsonTree::Parse(text, "it", {});
  return *DecimalOf((*tree)[JsonTree::root()]);
}

NumberBound BoundOf(const std::string& text, bool is_exclusive) {
  return {ToDecimal(text), is_exclusive};
}

Grammar GrammarOf(const NumberRange& range, bool is_integer, uint32_t divisor = 1) {
  GrammarBuilder builder{{}};
  JsonGrammar json(builder);
  const RuleId root = builder.Declare();
  builder.Add(root, {AddNumberRange(json, range, is_integer, divisor)});
  return builder.Finish(root);
}

TEST(NumberRange, IntegersOfRandomRanges) {
  std::mt19937 random(7);
  for (int round = 0; round < 25; ++round) {
    const int lower = static_cast<int>(random() % 400) - 200;
    const int upper = lower + static_cast<int>(random() % 150) - 5;
    const bool has_lower = random() % 4 != 0;
    const bool has_upper = random() % 4 != 0;
    const bool is_open = random() % 2 != 0;
    const auto divisor = static_cast<int>(random() % 3 == 0 ? 1 + random() % 12 : 1);
    NumberRange range;
    if (has_lower) range.lower = BoundOf(std::to_string(lower), is_open);
    if (has_upper) range.upper = BoundOf(std::to_string(upper), is_open);
    const Grammar grammar = GrammarOf(range, true, static_cast<uint32_t>(divisor));
    for (int value = -420; value <= 420; value += 1 + static_cast<int>(random() % 9)) {
      const bool fits = (!has_lower || value > lower || (value == lower && !is_open)) &&
                        (!has_upper || value < upper || (value == upper && !is_open)) &&
                        value % divisor == 0;
      EXPECT_EQ(Says(grammar, std::to_string(value)), fits)
          << value << " in " << lower << ", " << upper << " open " << is_open << " by " << divisor;
    }
    EXPECT_FALSE(Says(grammar, "-0") || Says(grammar, "007") || Says(grammar, "1.0"));
  }
}

TEST(NumberRange, DecimalsOfRandomRanges) {
  std::mt19937 random(8);
  const auto hundredths = [](int value) {
    std::string text = std::to_string(std::abs(value) % 100 + 100).substr(1);
    return (value < 0 ? "-" : "") + std::to_string(std::abs(value) / 100) + "." + text;
  };
  for (int round = 0; round < 15; ++round) {
    const int lower = static_cast<int>(random() % 3000) - 1500;
    const int upper = lower + static_cast<int>(random() % 800);
    const bool is_open = random() % 2 != 0;
    const Grammar grammar = GrammarOf(
        {BoundOf(hundredths(lower), is_open), BoundOf(hundredths(upper), is_open)}, false);
    for (int value = lower - 60; value <= upper + 60; value += 1 + static_cast<int>(random() % 5)) {
      const bool fits = is_open ? value > lower && value < upper : value >= lower && value <= upper;
      if (value == 0) continue;  // also said as -0.00
      EXPECT_EQ(Says(grammar, hundredths(value)), fits)
          << hundredths(value) << " in " << hundredths(lower) << ", " << hundredths(upper);
      EXPECT_EQ(Says(grammar, hundredths(value) + "000"), fits);
    }
  }
}

TEST(NumberRange, DecimalsAreReadFromEveryForm) {
  const auto text = [](const std::string& number) {
    const Decimal decimal = ToDecimal(number);
    return (decimal.is_negative ? "-" : "") + decimal.integer + "." + decimal.fraction;
  };
  EXPECT_EQ(text("0"), "0.");
  EXPECT_EQ(text("-0.0"), "0.");
  EXPECT_EQ(text("1e3"), "1000.");
  EXPECT_EQ(text("-12.50"), "-12.5");
  EXPECT_EQ(text("1e-7"), "0.0000001");
  EXPECT_EQ(text("1.25e20"), "125000000000000000000.");
  EXPECT_EQ(text("18446744073709551615"), "18446744073709551615.");
  EXPECT_EQ(text("-9223372036854775808"), "-9223372036854775808.");
  const auto huge = JsonTree::Parse("1e200", "it", {});
  EXPECT_FALSE(DecimalOf((*huge)[0]).has_value());
}

}  // namespace
}  // namespace plimsoll::grammar
