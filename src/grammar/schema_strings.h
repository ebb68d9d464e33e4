// The strings and keys that a JSON schema allows.
#pragma once

#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/budget.h"
#include "grammar/json_grammar.h"
#include "grammar/regex_tree.h"
#include "grammar/schema_reader.h"
#include "grammar/text_language.h"

namespace plimsoll::grammar {

// Which keys are meant: all, but for those that are ruled out.
struct KeyRules {
  std::vector<std::string_view> not_these;
  std::vector<std::string_view> fit;  // regular expressions, of patternProperties
  std::vector<std::string_view> do_not_fit;
  const Constraints* are_strings = nullptr;  // of propertyNames
  NodeId place = JsonTree::root();           // for messages
};

class SchemaStrings {
 public:
  // All must outlive it.
  SchemaStrings(JsonGrammar& json, const JsonTree& tree, const GrammarLimits& limits,
                Budget& budget)
      : json_(json), tree_(tree), reader_(tree, limits), limits_(limits), budget_(budget) {}

  // Adds the strings of a value to `rule`, with their quotes.
  [[nodiscard]] Result<> Add(const Constraints& constraints, RuleId rule);
  // Whether a text is one of these strings.
  [[nodiscard]] Result<bool> Allows(const Constraints& constraints, std::string_view text);
  // A key, with its quotes.
  [[nodiscard]] Result<Symbol> Key(const KeyRules& rules);
  // Whether a key of patternProperties is about the name; false where it is no pattern, which an
  // earlier Key() or CheckPattern() has told.
  [[nodiscard]] bool Matches(NodeId pattern, std::string_view name);
  [[nodiscard]] Result<> CheckPattern(NodeId pattern);

 private:
  // Of `pattern` and `format`, with the keyword that asks for it.
  using Patterns = std::vector<std::pair<RegexTree, NodeId>>;
  [[nodiscard]] Result<Patterns> PatternsOf(const Constraints& constraints);
  [[nodiscard]] Result<TextLanguage> LanguageOf(const Constraints& constraints,
                                                const Patterns& patterns);
  [[nodiscard]] Result<> Restrict(TextLanguage& language, const Constraints& to);
  [[nodiscard]] tl::unexpected<Error> At(NodeId node, const Error& error) const;

  JsonGrammar& json_;
  const JsonTree& tree_;
  SchemaReader reader_;
  GrammarLimits limits_;
  Budget& budget_;
  std::map<std::string_view, TextLanguage> languages_;  // of keys of patternProperties
};

}  // namespace plimsoll::grammar
