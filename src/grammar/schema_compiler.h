// Turns what a JSON schema asks for into rules.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/budget.h"
#include "grammar/grammar_builder.h"
#include "grammar/json_grammar.h"
#include "grammar/json_tree.h"
#include "grammar/schema_reader.h"
#include "grammar/schema_strings.h"

namespace plimsoll::grammar {

// For one schema. A set of schemas that have to hold together is one rule: so schemas that refer to
// each other need no recursion, and what is used twice is compiled once.
class SchemaCompiler {
 public:
  // All but `limits` must outlive it.
  SchemaCompiler(GrammarBuilder& builder, const JsonTree& tree, const GrammarLimits& limits,
                 Budget& budget)
      : tree_(tree),
        limits_(limits),
        builder_(builder),
        json_(builder),
        reader_(tree, limits),
        budget_(budget),
        strings_(json_, tree, limits, budget_) {}

  [[nodiscard]] Result<Symbol> Compile();

 private:
  struct Property {
    std::string_view name;
    SchemaList schemas;
    bool is_required = false;
    bool is_possible = true;
  };
  // What may stand in an object behind others.
  struct Members {
    std::vector<Property> described;
    std::optional<Symbol> other;  // a whole member that is not described
    bool is_impossible = false;   // what must be there must not
  };
  class MemberChain;

  // What all schemas of the list allow; filled later.
  [[nodiscard]] Symbol ValueOf(SchemaList schemas);
  [[nodiscard]] Result<> Fill(const SchemaList& schemas, RuleId rule);
  [[nodiscard]] Result<> AddWays(Constraints constraints, RuleId rule, uint32_t depth);
  [[nodiscard]] Result<> AddUnion(Constraints constraints, RuleId rule, uint32_t depth);
  [[nodiscard]] Result<> AddTypes(const Constraints& constraints, RuleId rule);
  [[nodiscard]] Result<> AddValues(const Constraints& constraints, RuleId rule);
  [[nodiscard]] Result<> AddNumbers(const Constraints& constraints, RuleId rule);
  [[nodiscard]] std::optional<NumberRange> FormatRange(const Constraints& constraints) const;
  [[nodiscard]] bool HasFormat(const Constraints& constraints, NodeId number) const;
  [[nodiscard]] Result<> AddArray(const Constraints& constraints, RuleId rule);
  [[nodiscard]] Result<> AddObject(const Constraints& constraints, RuleId rule);
  [[nodiscard]] Result<Members> MembersOf(const Constraints& constraints);
  [[nodiscard]] Result<bool> MayBeKey(const Constraints* constraints, std::string_view name);
  [[nodiscard]] Result<> AddOtherMembers(const Constraints& constraints, KeyRules keys,
                                         Members& members);
  [[nodiscard]] Result<> CheckExclusive(const SchemaUnion& choice, bool is_alone);
  // An error where a limit is passed.
  [[nodiscard]] Result<> CheckLimits();

  const JsonTree& tree_;
  GrammarLimits limits_;
  GrammarBuilder& builder_;
  JsonGrammar json_;
  SchemaReader reader_;
  Budget& budget_;
  SchemaStrings strings_;
  std::map<SchemaList, RuleId> rules_;
  std::vector<std::pair<const SchemaList*, RuleId>> to_fill_;  // the keys of rules_
};

}  // namespace plimsoll::grammar
