#include "grammar/schema_exclusion.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "grammar/json_grammar.h"

namespace plimsoll::grammar {
namespace {

constexpr uint32_t kMaxProofDepth = 4;
constexpr size_t kMaxChoices = 64;

bool AreApart(const NumberRange& a, const NumberRange& b) {
  if (!a.upper || !b.lower) return false;
  const int order = Compare(a.upper->value, b.lower->value);
  return order < 0 || (order == 0 && (a.upper->is_exclusive || b.lower->is_exclusive));
}

bool AreApart(uint32_t min_a, uint32_t max_a, uint32_t min_b, uint32_t max_b) {
  return max_a < min_b || max_b < min_a;
}

}  // namespace

bool ExclusionProver::Expand(Constraints constraints, std::vector<Constraints>& choices) const {
  if (constraints.unions.empty()) {
    choices.push_back(std::move(constraints));
    return choices.size() <= kMaxChoices;
  }
  if (constraints.unions.size() > kMaxProofDepth) return false;
  const SchemaUnion choice = std::move(constraints.unions.back());
  constraints.unions.pop_back();
  for (const NodeId branch : reader_.Children(choice.list)) {
    Constraints both = constraints;
    std::vector<NodeId> path = choice.path;
    if (budget_.IsSpent() || !reader_.Read(branch, path, both) ||
        !Expand(std::move(both), choices)) {
      return false;
    }
  }
  return true;
}

bool ExclusionProver::Choices(const SchemaList& schemas, std::vector<Constraints>& choices) const {
  Constraints all;
  std::vector<NodeId> path;
  for (const NodeId schema : schemas) {
    if (!reader_.Read(schema, path, all)) return false;
  }
  return Expand(std::move(all), choices);
}

bool ExclusionProver::ListExcludes(const SchemaList& made, const SchemaList& checked,
                                   uint32_t depth) const {
  std::vector<Constraints> of_made;
  std::vector<Constraints> of_checked;
  if (depth > kMaxProofDepth || !Choices(made, of_made) || !Choices(checked, of_checked)) {
    return false;
  }
  return std::all_of(of_made.begin(), of_made.end(), [&](const Constraints& one) {
    return std::all_of(of_checked.begin(), of_checked.end(), [&](const Constraints& other) {
      return !budget_.IsSpent() && Excludes(one, other, depth);
    });
  });
}

// Whether a value is certainly refused.
bool ExclusionProver::Refuses(const Constraints& constraints, NodeId value) const {
  if (constraints.is_false || (TypeOf(tree_[value]) & constraints.types) == 0) return true;
  if (!constraints.values) return false;
  const std::string text = CanonicalText(tree_, value);
  return std::none_of(constraints.values->begin(), constraints.values->end(),
                      [&](NodeId other) { return CanonicalText(tree_, other) == text; });
}

bool ExclusionProver::Excludes(const Constraints& made, const Constraints& checked,
                               uint32_t depth) const {
  if (made.is_false || checked.is_false) return true;
  const auto all_refused = [&](const Constraints& by, const Constraints& of) {
    return of.values && std::all_of(of.values->begin(), of.values->end(),
                                    [&](NodeId value) { return Refuses(by, value); });
  };
  if (all_refused(checked, made) || all_refused(made, checked)) return true;
  const bool is_wide = made.values || !is_alone_;
  const TypeSet types = (is_wide ? made.types : made.WantedTypes()) & checked.types;
  if ((types & (kTypeNull | kTypeBoolean)) != 0) return false;
  if ((types & kTypeNumber) != 0 && !AreApart(made.range, checked.range) &&
      !AreApart(checked.range, made.range)) {
    return false;
  }
  if ((types & kTypeString) != 0 &&
      !AreApart(made.min_length, made.max_length, checked.min_length, checked.max_length)) {
    return false;
  }
  if ((types & kTypeArray) != 0 &&
      !AreApart(made.min_items, made.max_items, checked.min_items, checked.max_items)) {
    return false;
  }
  return (types & kTypeObject) == 0 || ObjectsExclude(made, checked, depth);
}

SchemaList ExclusionProver::MemberOf(const Constraints& object, std::string_view name) const {
  // Patterns only add to what has to hold, or take the place of additionalProperties.
  return reader_.SchemasOf(object, name, [](NodeId, std::string_view) { return false; });
}

// Whether values that are made for the object may have the member.
bool ExclusionProver::IsMade(const Constraints& object, std::string_view name) const {
  bool has_properties = false;
  bool is_open = !is_alone_;
  for (const ObjectPart& part : object.objects) {
    if (part.patterns != kNoNode) return true;
    if (part.properties != kNoNode && tree_.Member(part.properties, name) != kNoNode) return true;
    has_properties |= part.properties != kNoNode;
    is_open |= part.additional != kNoNode;
  }
  return std::find(object.required.begin(), object.required.end(), name) != object.required.end() ||
         is_open || !has_properties;
}

bool ExclusionProver::ObjectsExclude(const Constraints& made, const Constraints& checked,
                                     uint32_t depth) const {
  const auto has_patterns = [](const Constraints& object) {
    return std::any_of(object.objects.begin(), object.objects.end(),
                       [](const ObjectPart& part) { return part.patterns != kNoNode; });
  };
  const auto members_exclude = [&](std::string_view name) {
    return !has_patterns(made) && !has_patterns(checked) &&
           ListExcludes(MemberOf(made, name), MemberOf(checked, name), depth + 1);
  };
  return std::any_of(made.required.begin(), made.required.end(), members_exclude) ||
         std::any_of(checked.required.begin(), checked.required.end(), [&](std::string_view name) {
           return !IsMade(made, name) || members_exclude(name);
         });
}

}  // namespace plimsoll::grammar
