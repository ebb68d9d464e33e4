#include "grammar/schema_strings.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "grammar/formats.h"
#include "grammar/regex.h"
#include "text/utf8.h"

namespace plimsoll::grammar {
namespace {

// Names as a tree of characters.
struct NameNode {
  bool is_end = false;
  std::map<char32_t, uint32_t> next;
};

std::vector<NameNode> TreeOf(const std::vector<std::string_view>& names) {
  std::vector<NameNode> nodes(1);
  for (std::string_view name : names) {
    uint32_t at = 0;
    while (!name.empty()) {
      const text::DecodedChar decoded = text::DecodeChar(name);
      name.remove_prefix(decoded.length);
      const auto [place, is_new] =
          nodes[at].next.try_emplace(decoded.code_point, static_cast<uint32_t>(nodes.size()));
      at = place->second;
      if (is_new) nodes.emplace_back();
    }
    nodes[at].is_end = true;
  }
  return nodes;
}

CodePoints Only(char32_t code) { return CodePoints({{code, code}}); }

}  // namespace

Symbol SchemaStrings::OtherKey(const std::vector<std::string_view>& names) {
  if (names.empty()) return json_.String();
  GrammarBuilder& builder = json_.builder();
  Speller& speller = json_.speller();
  const std::vector<NameNode> nodes = TreeOf(names);
  const Symbol quote = builder.Byte('"');
  const Symbol rest = builder.Concatenation({speller.Any(), quote});
  std::vector<RuleId> rules;
  for (size_t i = 0; i < nodes.size() && !builder.is_full(); ++i)
    rules.push_back(builder.Declare());
  for (size_t i = 0; i < rules.size() && !builder.is_full(); ++i) {
    std::vector<CodePointRange> taken;
    if (!nodes[i].is_end) builder.Add(rules[i], {quote});
    for (const auto& [code, next] : nodes[i].next) {
      taken.push_back({code, code});
      if (next >= rules.size()) break;
      builder.Add(rules[i], {speller.OneOf(Only(code)), GrammarBuilder::Reference(rules[next])});
    }
    builder.Add(rules[i], {speller.OneOf(CodePoints(std::move(taken)).Complement()), rest});
  }
  return builder.Concatenation({quote, GrammarBuilder::Reference(rules[0])});
}

Result<> SchemaStrings::Add(const Constraints& constraints, RuleId rule) {
  GrammarBuilder& builder = json_.builder();
  if (constraints.min_length > constraints.max_length) return {};
  std::vector<RegexTree> trees;
  std::vector<NodeId> keywords = constraints.patterns;
  for (const NodeId pattern : constraints.patterns) {
    auto tree = ParseRegex(tree_[pattern].text, RegexScope::kSearch, limits_);
    if (!tree) {
      return Fail(tree.error().kind, "at {}: {}", tree_.Pointer(pattern), tree.error().message);
    }
    trees.push_back(std::move(*tree));
  }
  for (const NodeId format : constraints.formats) {
    const auto pattern = FormatPattern(tree_[format].text);
    if (!pattern) return reader_.Bad(format, "this format is not supported");
    if (pattern->empty()) continue;
    auto tree = ParseRegex(*pattern, RegexScope::kWhole, limits_);
    if (!tree) return tl::unexpected(tree.error());
    trees.push_back(std::move(*tree));
    keywords.push_back(format);
  }
  const bool has_length = constraints.min_length > 0 || constraints.max_length < kUnbounded;
  if (trees.empty()) {
    if (constraints.max_length == 0) {
      builder.Add(rule, {json_.Text("\"\"")});
    } else {
      builder.Add(rule, {json_.String(constraints.min_length, constraints.max_length)});
    }
    return {};
  }
  if (trees.size() > 1 || has_length) {
    return reader_.Bad(keywords[0],
                       "the keyword beside another pattern or format, minLength or "
                       "maxLength is not supported");
  }
  const Symbol quote = builder.Byte('"');
  builder.Add(rule, {quote, EmitRegex(builder, json_.speller(), trees[0]), quote});
  return {};
}

Result<bool> SchemaStrings::Allows(const Constraints& constraints, NodeId value) {
  std::string_view text = tree_[value].text;
  uint32_t length = 0;
  for (; !text.empty(); ++length) text.remove_prefix(text::DecodeChar(text).length);
  if (length < constraints.min_length || length > constraints.max_length) return false;
  for (const auto* keywords : {&constraints.patterns, &constraints.formats}) {
    if (!keywords->empty()) {
      return reader_.Bad(keywords->front(), "the keyword beside enum or const is not supported");
    }
  }
  return true;
}

}  // namespace plimsoll::grammar
