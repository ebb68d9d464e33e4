#include "grammar/schema_strings.h"

#include <algorithm>

#include "grammar/formats.h"
#include "grammar/regex.h"
#include "text/utf8.h"

namespace plimsoll::grammar {
namespace {

uint32_t CountCharacters(std::string_view text) {
  uint32_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(text::DecodeChar(text).length);
  return count;
}

}  // namespace

tl::unexpected<Error> SchemaStrings::At(NodeId node, const Error& error) const {
  return Fail(error.kind, "at {}: {}", tree_.Pointer(node), error.message);
}

Result<SchemaStrings::Patterns> SchemaStrings::PatternsOf(const Constraints& constraints) {
  Patterns patterns;
  for (const NodeId pattern : constraints.patterns) {
    auto tree = ParseRegex(tree_[pattern].text, RegexScope::kSearch, limits_);
    if (!tree) return At(pattern, tree.error());
    patterns.emplace_back(std::move(*tree), pattern);
  }
  for (const NodeId format : constraints.formats) {
    const std::string_view pattern = FormatPattern(tree_[format].text);
    if (pattern.empty()) continue;
    auto tree = ParseRegex(pattern, RegexScope::kWhole, limits_);
    if (!tree) return At(format, tree.error());
    patterns.emplace_back(std::move(*tree), format);
  }
  return patterns;
}

Result<TextLanguage> SchemaStrings::LanguageOf(const Constraints& constraints,
                                               const Patterns& patterns) {
  TextLanguage language;
  language.min_length = constraints.min_length;
  language.max_length = constraints.max_length;
  for (const auto& [tree, keyword] : patterns) {
    const LengthRange lengths = LengthsOf(tree);  // bounds that hold anyway need not be counted
    if (lengths.min >= language.min_length) language.min_length = 0;
    if (lengths.max <= language.max_length) language.max_length = kUnbounded;
    auto added = language.Require(tree);
    if (!added) return At(keyword, added.error());
  }
  return language;
}

Result<> SchemaStrings::Add(const Constraints& constraints, RuleId rule) {
  GrammarBuilder& builder = json_.builder();
  if (constraints.min_length > constraints.max_length) return {};
  const auto patterns = PatternsOf(constraints);
  if (!patterns) return tl::unexpected(patterns.error());
  if (patterns->empty()) {
    const bool is_empty = constraints.max_length == 0;
    builder.Add(rule, {is_empty ? json_.Text("\"\"")
                                : json_.String(constraints.min_length, constraints.max_length)});
    return {};
  }
  const Symbol quote = builder.Byte('"');
  const LengthRange lengths = LengthsOf(patterns->front().first);
  if (patterns->size() == 1 && lengths.min >= constraints.min_length &&
      lengths.max <= constraints.max_length) {
    const Symbol contents = EmitRegex(builder, json_.speller(), patterns->front().first);
    builder.Add(rule, {quote, contents, quote});
    return {};
  }
  const auto language = LanguageOf(constraints, *patterns);
  if (!language) return tl::unexpected(language.error());
  const auto contents = language->AddTo(builder, json_.speller(), budget_);
  if (!contents) return At(patterns->front().second, contents.error());
  builder.Add(rule, {quote, *contents, quote});
  return {};
}

Result<bool> SchemaStrings::Allows(const Constraints& constraints, std::string_view text) {
  const uint32_t length = CountCharacters(text);
  if (length < constraints.min_length || length > constraints.max_length) return false;
  if (constraints.patterns.empty() && constraints.formats.empty()) return true;
  const auto patterns = PatternsOf(constraints);
  if (!patterns) return tl::unexpected(patterns.error());
  const auto language = LanguageOf(constraints, *patterns);
  if (!language) return tl::unexpected(language.error());
  return language->Contains(text);
}

Result<> SchemaStrings::CheckPattern(NodeId pattern) {
  const std::string_view key = tree_[pattern].key;
  if (languages_.contains(key)) return {};
  const auto tree = ParseRegex(key, RegexScope::kSearch, limits_);
  if (!tree) return At(pattern, tree.error());
  TextLanguage language;
  auto added = language.Require(*tree);
  if (!added) return At(pattern, added.error());
  languages_.emplace(key, std::move(language));
  return {};
}

bool SchemaStrings::Matches(NodeId pattern, std::string_view name) {
  const auto known = languages_.find(tree_[pattern].key);
  return known != languages_.end() && known->second.Contains(name);
}

Result<> SchemaStrings::Restrict(TextLanguage& language, const Constraints& to) {
  const auto patterns = PatternsOf(to);
  if (!patterns) return tl::unexpected(patterns.error());
  language.min_length = to.min_length;
  language.max_length = to.max_length;
  for (const auto& [tree, keyword] : *patterns) {
    auto added = language.Require(tree);
    if (!added) return At(keyword, added.error());
  }
  if (!to.values) return {};
  std::vector<std::string_view> texts;
  for (const NodeId value : *to.values) {
    if (tree_[value].kind == JsonNode::Kind::kString) texts.push_back(tree_[value].text);
  }
  return language.Require(TreeOfTexts(texts));
}

Result<Symbol> SchemaStrings::Key(const KeyRules& rules) {
  if (rules.not_these.empty() && rules.fit.empty() && rules.do_not_fit.empty() &&
      rules.are_strings == nullptr) {
    return json_.String();
  }
  TextLanguage language;
  Result<> added;
  if (rules.are_strings != nullptr) added = Restrict(language, *rules.are_strings);
  for (const auto* patterns : {&rules.fit, &rules.do_not_fit}) {
    for (const std::string_view pattern : *patterns) {
      const auto tree = ParseRegex(pattern, RegexScope::kSearch, limits_);
      if (!tree) return At(rules.place, tree.error());
      if (added) added = patterns == &rules.fit ? language.Require(*tree) : language.Exclude(*tree);
    }
  }
  if (added && !rules.not_these.empty()) added = language.Exclude(TreeOfTexts(rules.not_these));
  if (!added) return At(rules.place, added.error());
  GrammarBuilder& builder = json_.builder();
  const auto contents = language.AddTo(builder, json_.speller(), budget_);
  if (!contents) return At(rules.place, contents.error());
  const Symbol quote = builder.Byte('"');
  return builder.Concatenation({quote, *contents, quote});
}

}  // namespace plimsoll::grammar
