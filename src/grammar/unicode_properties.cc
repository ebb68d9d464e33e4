#include "grammar/unicode_properties.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "text/unicode.h"

namespace plimsoll::grammar {
namespace {

using text::Category;
using text::CategorySet;
using text::SetOf;

struct NamedSet {
  std::string_view brief;
  std::string_view name;
  CategorySet set;
};

// Unicode Standard Annex 44, table 12 (General_Category values).
constexpr std::array<NamedSet, 36> kNamedSets = {{
    {"L", "Letter", text::kLetters},
    {"LC", "Cased_Letter", SetOf(Category::kLu, Category::kLl, Category::kLt)},
    {"Lu", "Uppercase_Letter", SetOf(Category::kLu)},
    {"Ll", "Lowercase_Letter", SetOf(Category::kLl)},
    {"Lt", "Titlecase_Letter", SetOf(Category::kLt)},
    {"Lm", "Modifier_Letter", SetOf(Category::kLm)},
    {"Lo", "Other_Letter", SetOf(Category::kLo)},
    {"M", "Mark", text::kMarks},
    {"Mn", "Nonspacing_Mark", SetOf(Category::kMn)},
    {"Me", "Enclosing_Mark", SetOf(Category::kMe)},
    {"Mc", "Spacing_Mark", SetOf(Category::kMc)},
    {"N", "Number", text::kNumbers},
    {"Nd", "Decimal_Number", SetOf(Category::kNd)},
    {"Nl", "Letter_Number", SetOf(Category::kNl)},
    {"No", "Other_Number", SetOf(Category::kNo)},
    {"P", "Punctuation", text::kPunctuation},
    {"Pd", "Dash_Punctuation", SetOf(Category::kPd)},
    {"Ps", "Open_Punctuation", SetOf(Category::kPs)},
    {"Pe", "Close_Punctuation", SetOf(Category::kPe)},
    {"Pc", "Connector_Punctuation", SetOf(Category::kPc)},
    {"Po", "Other_Punctuation", SetOf(Category::kPo)},
    {"Pi", "Initial_Punctuation", SetOf(Category::kPi)},
    {"Pf", "Final_Punctuation", SetOf(Category::kPf)},
    {"S", "Symbol", text::kSymbols},
    {"Sm", "Math_Symbol", SetOf(Category::kSm)},
    {"Sc", "Currency_Symbol", SetOf(Category::kSc)},
    {"Sk", "Modifier_Symbol", SetOf(Category::kSk)},
    {"So", "Other_Symbol", SetOf(Category::kSo)},
    {"Z", "Separator", SetOf(Category::kZs, Category::kZl, Category::kZp)},
    {"Zs", "Space_Separator", SetOf(Category::kZs)},
    {"Zl", "Line_Separator", SetOf(Category::kZl)},
    {"Zp", "Paragraph_Separator", SetOf(Category::kZp)},
    {"Cc", "Control", SetOf(Category::kCc, Category::kControlSpace)},
    {"Cf", "Format", SetOf(Category::kCf)},
    {"Co", "Private_Use", SetOf(Category::kCo)},
    {"Cn", "Unassigned", SetOf(Category::kUnassigned)},
}};

constexpr size_t kCategories = 31;

// Of each category the ranges. Immutable, made on first use.
const std::array<std::vector<CodePointRange>, kCategories>& RangesByCategory() {
  static const auto kRanges = [] {
    const text::CategoryTable& table = text::CategoryTable::Get();
    std::array<std::vector<CodePointRange>, kCategories> ranges;
    for (char32_t code = 0; code <= kLastCodePoint; ++code) {
      auto& of_category = ranges[static_cast<size_t>(table.Of(code))];
      if (!of_category.empty() && of_category.back().last + 1 == code) {
        of_category.back().last = code;
      } else {
        of_category.push_back({code, code});
      }
    }
    return ranges;
  }();
  return kRanges;
}

CodePoints CharactersIn(CategorySet set) {
  std::vector<CodePointRange> ranges;
  for (size_t category = 0; category < kCategories; ++category) {
    if (!text::Contains(set, static_cast<Category>(category))) continue;
    const auto& more = RangesByCategory()[category];
    ranges.insert(ranges.end(), more.begin(), more.end());
  }
  return CodePoints(std::move(ranges));
}

}  // namespace

std::optional<CodePoints> UnicodeProperty(std::string_view name) {
  for (const std::string_view prefix : {"gc=", "General_Category="}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  const auto* const found = std::find_if(
      kNamedSets.begin(), kNamedSets.end(),
      [&](const NamedSet& named) { return named.brief == name || named.name == name; });
  if (found == kNamedSets.end()) return std::nullopt;
  return CharactersIn(found->set);
}

}  // namespace plimsoll::grammar
