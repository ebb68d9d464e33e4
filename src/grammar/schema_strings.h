// The strings that a JSON schema allows.
#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/json_grammar.h"
#include "grammar/schema_reader.h"

namespace plimsoll::grammar {

class SchemaStrings {
 public:
  SchemaStrings(JsonGrammar& json, const JsonTree& tree, const GrammarLimits& limits)
      : json_(json), tree_(tree), reader_(tree, limits), limits_(limits) {}

  // Adds them to `rule`, with their quotes.
  [[nodiscard]] Result<> Add(const Constraints& constraints, RuleId rule);
  // Whether a text is one of them; an error where that cannot be told.
  [[nodiscard]] Result<bool> Allows(const Constraints& constraints, NodeId value);
  // A key, with its quotes, that is none of `names`.
  [[nodiscard]] Symbol OtherKey(const std::vector<std::string_view>& names);

 private:
  JsonGrammar& json_;
  const JsonTree& tree_;
  SchemaReader reader_;
  GrammarLimits limits_;
};

}  // namespace plimsoll::grammar
