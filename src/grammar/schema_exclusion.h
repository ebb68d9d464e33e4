// Whether a value that is made for one schema can also satisfy another.
#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/budget.h"
#include "grammar/json_tree.h"
#include "grammar/schema_reader.h"

namespace plimsoll::grammar {

// Proofs for oneOf. A schema without `type` may mean one kind of value when values are made, and
// allow all kinds when they are checked; a proof is about values made for the one schema and
// checked against the other.
class ExclusionProver {
 public:
  // All must outlive it. `is_alone`: values are made for the one schema alone; otherwise others
  // hold too, which may describe further members and kinds of values.
  ExclusionProver(const JsonTree& tree, const SchemaReader& reader, Budget& budget, bool is_alone)
      : tree_(tree), reader_(reader), budget_(budget), is_alone_(is_alone) {}

  // True where no value made for `made` satisfies `checked`; false where that is not seen easily:
  // by kinds of values, const and enum, bounds, or a member that one has and the other excludes in
  // one of these ways.
  [[nodiscard]] bool Excludes(const SchemaList& made, const SchemaList& checked) const {
    return ListExcludes(made, checked, 0);
  }

 private:
  [[nodiscard]] bool ListExcludes(const SchemaList& made, const SchemaList& checked,
                                  uint32_t depth) const;
  // Every way to choose from the lists of anyOf and oneOf.
  [[nodiscard]] bool Choices(const SchemaList& schemas, std::vector<Constraints>& choices) const;
  [[nodiscard]] bool Expand(Constraints constraints, std::vector<Constraints>& choices) const;
  [[nodiscard]] bool Excludes(const Constraints& made, const Constraints& checked,
                              uint32_t depth) const;
  [[nodiscard]] bool ObjectsExclude(const Constraints& made, const Constraints& checked,
                                    uint32_t depth) const;
  [[nodiscard]] bool Refuses(const Constraints& constraints, NodeId value) const;
  [[nodiscard]] bool IsMade(const Constraints& object, std::string_view name) const;
  [[nodiscard]] SchemaList MemberOf(const Constraints& object, std::string_view name) const;

  const JsonTree& tree_;
  const SchemaReader& reader_;
  Budget& budget_;
  bool is_alone_;
};

}  // namespace plimsoll::grammar
