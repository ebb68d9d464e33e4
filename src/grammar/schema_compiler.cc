#include "grammar/schema_compiler.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "grammar/formats.h"
#include "grammar/schema_exclusion.h"
#include "grammar/text_set.h"

namespace plimsoll::grammar {

// The members of an object in their order, each with what may come behind it: as many rules as
// there are members, or with a bound on their number, as many times that number.
class SchemaCompiler::MemberChain {
 public:
  MemberChain(SchemaCompiler& compiler, const Members& members, const Constraints& constraints)
      : builder_(compiler.builder_), json_(compiler.json_), members_(members) {
    const auto& described = members.described;
    n_required_.assign(described.size() + 1, 0);
    for (size_t i = described.size(); i-- > 0;) {
      n_required_[i] = n_required_[i + 1] + (described[i].is_required ? 1 : 0);
      values_.push_back(compiler.ValueOf(described[i].schemas));
    }
    std::reverse(values_.begin(), values_.end());
    min_ = constraints.min_properties > n_required_[0] ? constraints.min_properties : 0;
    const bool may_pass_max = members.other || constraints.max_properties < described.size();
    max_ = may_pass_max ? constraints.max_properties : kUnbounded;
  }

  // Whether the members can be counted within the bounds.
  [[nodiscard]] bool IsCountable() const {
    const uint64_t n_counted =
        max_ != kUnbounded ? std::min<uint64_t>(max_, members_.described.size()) : uint64_t{min_};
    return n_counted * members_.described.size() <= kMaxCounted;
  }
  [[nodiscard]] bool MayBeEmpty() const { return n_required_[0] == 0 && min_ == 0; }
  [[nodiscard]] std::optional<Symbol> All() {
    const bool has_any = !members_.described.empty() || members_.other;
    if (!has_any || max_ == 0) return std::nullopt;
    return From(0, 0);
  }

 private:
  static constexpr uint64_t kMaxCounted = 10'000;

  // Counting stops where it no longer matters.
  [[nodiscard]] uint32_t Counted(uint32_t count) const {
    return max_ != kUnbounded ? count : std::min(count, min_);
  }

  // The member `at` or a later one, and what is behind it, where `count` are in front. As a loop
  // from the end: no recursion.
  Symbol From(size_t at, uint32_t count) {
    const size_t n = members_.described.size();
    const uint32_t n_counts =
        max_ != kUnbounded ? std::min<uint32_t>(max_, static_cast<uint32_t>(n)) : min_;
    from_.assign(n + 1, std::vector<RuleId>(n_counts + size_t{1}));
    behind_ = from_;
    for (size_t i = n + 1; i-- > 0;) {
      const auto most = static_cast<uint32_t>(std::min<size_t>(i, n_counts));
      for (uint32_t c = 0; c <= most && !builder_.is_full(); ++c) {
        behind_[i][c] = builder_.Declare();
        from_[i][c] = builder_.Declare();
        Fill(i, c);
      }
    }
    return GrammarBuilder::Reference(from_[at][count]);
  }

  void Fill(size_t i, uint32_t count) {
    const bool is_end = i == members_.described.size();
    if (n_required_[i] == 0 && count >= min_) builder_.Add(behind_[i][count], {});
    const bool may_go_on = count < max_ && (!is_end || members_.other);
    if (may_go_on) {
      Sequence more;
      json_.AppendComma(more);
      more.push_back(GrammarBuilder::Reference(from_[i][count]));
      builder_.Add(behind_[i][count], std::move(more));
    }
    if (is_end) {
      // Keys that are not described may be said twice: they count as one towards the least number.
      const uint64_t n_more =
          max_ == kUnbounded ? kUnbounded : uint64_t{max_} - std::min(max_, count);
      if (members_.other && n_more > 0 && count + 1 >= min_) {
        builder_.Add(from_[i][count],
                     {json_.List(*members_.other, 1, static_cast<uint32_t>(n_more))});
      }
      return;
    }
    const Property& property = members_.described[i];
    if (count < max_) {
      Sequence member;
      json_.AppendKey(member, property.name);
      member.push_back(values_[i]);
      member.push_back(GrammarBuilder::Reference(behind_[i + 1][Counted(count + 1)]));
      builder_.Add(from_[i][count], std::move(member));
    }
    if (!property.is_required) {
      builder_.Add(from_[i][count], {GrammarBuilder::Reference(from_[i + 1][count])});
    }
  }

  GrammarBuilder& builder_;
  JsonGrammar& json_;
  const Members& members_;
  uint32_t min_;
  uint32_t max_;
  std::vector<uint32_t> n_required_;  // from each member on
  std::vector<Symbol> values_;
  std::vector<std::vector<RuleId>> from_;
  std::vector<std::vector<RuleId>> behind_;
};

Result<> SchemaCompiler::CheckLimits() {
  if (builder_.is_full()) {
    return Fail(ErrorKind::kDoesNotFit, "the schema needs more than {} grammar symbols",
                limits_.max_symbols);
  }
  if (budget_.IsSpent()) {
    return Fail(ErrorKind::kDoesNotFit, "the schema takes more than {} s to compile",
                limits_.max_cpu_seconds);
  }
  return {};
}

Result<Symbol> SchemaCompiler::Compile() {
  const Symbol root = ValueOf({JsonTree::root()});
  while (!to_fill_.empty()) {
    const auto [schemas, rule] = to_fill_.back();
    to_fill_.pop_back();
    auto filled = Fill(*schemas, rule);
    if (filled) filled = CheckLimits();
    if (!filled) return Forward(filled);
  }
  return root;
}

Symbol SchemaCompiler::ValueOf(SchemaList schemas) {
  if (schemas.empty()) return json_.Value();
  std::sort(schemas.begin(), schemas.end());
  schemas.erase(std::unique(schemas.begin(), schemas.end()), schemas.end());
  const auto [place, is_new] = rules_.try_emplace(std::move(schemas));
  if (is_new) {
    place->second = builder_.Declare();
    to_fill_.emplace_back(&place->first, place->second);
  }
  return GrammarBuilder::Reference(place->second);
}

Result<> SchemaCompiler::Fill(const SchemaList& schemas, RuleId rule) {
  Constraints constraints;
  std::vector<NodeId> path;
  for (const NodeId schema : schemas) {
    auto read = reader_.Read(schema, path, constraints);
    if (!read) return read;
  }
  return AddWays(std::move(constraints), rule, 0);
}

Result<> SchemaCompiler::AddWays(Constraints constraints, RuleId rule, uint32_t depth) {
  auto within = CheckLimits();
  if (!within || constraints.is_false) return within;
  if (!constraints.unions.empty()) return AddUnion(std::move(constraints), rule, depth);
  if (constraints.values) return AddValues(constraints, rule);
  return AddTypes(constraints, rule);
}

Result<> SchemaCompiler::AddUnion(Constraints constraints, RuleId rule, uint32_t depth) {
  const SchemaUnion choice = std::move(constraints.unions.back());
  constraints.unions.pop_back();
  if (depth >= limits_.max_depth) {  // a list within a list, and so on
    return Fail(ErrorKind::kDoesNotFit,
                "at {}: more than {} lists of anyOf and oneOf hold for one value",
                tree_.Pointer(choice.list), limits_.max_depth);
  }
  if (choice.is_exclusive) {
    const bool is_plain =
        constraints.objects.empty() && constraints.implied_types == 0 && constraints.unions.empty();
    auto is_exclusive = CheckExclusive(choice, is_plain);
    if (!is_exclusive) return is_exclusive;
  }
  const bool is_alone = !constraints.has_keywords && constraints.unions.empty();
  for (const NodeId branch : reader_.Children(choice.list)) {
    if (is_alone && choice.path.size() == 1) {
      builder_.Add(rule, {ValueOf({branch})});
      auto within = CheckLimits();
      if (!within) return within;
      continue;
    }
    Constraints both = constraints;
    std::vector<NodeId> path = choice.path;
    auto read = reader_.Read(branch, path, both);
    if (read) read = AddWays(std::move(both), rule, depth + 1);
    if (!read) return read;
  }
  return {};
}

Result<> SchemaCompiler::CheckExclusive(const SchemaUnion& choice, bool is_alone) {
  const ExclusionProver prover(tree_, reader_, budget_, is_alone);
  const std::vector<NodeId> branches = reader_.Children(choice.list);
  for (const NodeId made : branches) {
    for (const NodeId checked : branches) {
      const bool is_excluded = made == checked || prover.Excludes({made}, {checked});
      auto within = CheckLimits();
      if (!within) return within;
      if (is_excluded) continue;
      return reader_.Bad(
          choice.list,
          "oneOf is supported where each two of its schemas exclude each other by type, "
          "const, enum, bounds or a required member; {} and {} may not (anyOf is "
          "supported)",
          made - branches[0], checked - branches[0]);
    }
  }
  return {};
}

Result<> SchemaCompiler::AddTypes(const Constraints& constraints, RuleId rule) {
  const TypeSet types = constraints.WantedTypes();
  if (types == kTypeAny && constraints.implied_types == 0) {
    builder_.Add(rule, {json_.Value()});
    return {};
  }
  if ((types & kTypeNull) != 0) builder_.Add(rule, {json_.Text("null")});
  if ((types & kTypeBoolean) != 0) {
    builder_.Add(rule, {json_.Text("true")});
    builder_.Add(rule, {json_.Text("false")});
  }
  Result<> added;
  if ((types & kTypeNumber) != 0) added = AddNumbers(constraints, rule);
  if (added && (types & kTypeString) != 0) added = strings_.Add(constraints, rule);
  if (added && (types & kTypeArray) != 0) added = AddArray(constraints, rule);
  if (added && (types & kTypeObject) != 0) added = AddObject(constraints, rule);
  return added;
}

Result<> SchemaCompiler::AddNumbers(const Constraints& constraints, RuleId rule) {
  constexpr int64_t kMaxDivisor = 100;  // each remainder is a rule for each digit
  int64_t divisor = 1;
  for (const NodeId multiple : constraints.multiples) {
    const JsonNode& node = tree_[multiple];
    const bool is_whole = node.kind == JsonNode::Kind::kInteger && node.integer > 0;
    if (is_whole && node.integer <= kMaxDivisor) divisor = std::lcm(divisor, node.integer);
    if (!is_whole || node.integer > kMaxDivisor || divisor > kMaxDivisor) {
      return reader_.Bad(multiple, "multipleOf is supported for whole numbers from 1 to {}",
                         kMaxDivisor);
    }
  }
  const std::optional<NumberRange> format = FormatRange(constraints);
  const bool is_integer =
      (constraints.WantedTypes() & kTypeFraction) == 0 || !constraints.multiples.empty() || format;
  NumberRange range = constraints.range;
  if (format) {
    range.RaiseLower(*format->lower);
    range.LowerUpper(*format->upper);
  }
  if (range.lower || range.upper || divisor > 1) {
    builder_.Add(rule, {AddNumberRange(json_, range, is_integer, static_cast<uint32_t>(divisor))});
  } else {
    builder_.Add(rule, {is_integer ? json_.Integer() : json_.Number()});
  }
  return {};
}

// The integers of all its formats; nullopt where these are notes.
std::optional<NumberRange> SchemaCompiler::FormatRange(const Constraints& constraints) const {
  std::optional<NumberRange> range;
  for (const NodeId name : constraints.number_formats) {
    const auto integers = FormatIntegers(tree_[name].text);
    if (!integers) continue;
    if (!range) range.emplace();
    range->RaiseLower(*integers->lower);
    range->LowerUpper(*integers->upper);
  }
  return range;
}

bool SchemaCompiler::HasFormat(const Constraints& constraints, NodeId number) const {
  const auto range = FormatRange(constraints);
  if (!range) return true;
  const auto value = DecimalOf(tree_[number]);
  return value && value->fraction.empty() && range->Contains(*value);
}

Result<> SchemaCompiler::AddValues(const Constraints& constraints, RuleId rule) {
  std::vector<std::string> texts;
  for (const NodeId value : *constraints.values) {
    const TypeSet type = TypeOf(tree_[value]);
    bool is_allowed = (type & constraints.types) != 0;
    if (is_allowed && type == kTypeString) {
      const auto allows = strings_.Allows(constraints, tree_[value].text);
      if (!allows) return tl::unexpected(allows.error());
      is_allowed = *allows;
    } else if (is_allowed && (type & kTypeNumber) != 0 && !constraints.bounds_numbers()) {
      is_allowed = HasFormat(constraints, value);
    } else if (is_allowed && (type & constraints.implied_types) != 0) {
      return reader_.Bad(value, "values beside keywords that are about them are not supported");
    }
    if (!is_allowed) continue;
    if (type == kTypeObject || type == kTypeArray) {
      Sequence sequence;
      json_.AppendValue(sequence, tree_, value);
      builder_.Add(rule, std::move(sequence));
    } else {
      texts.push_back(CanonicalText(tree_, value));
    }
    auto within = CheckLimits();
    if (!within) return within;
  }
  if (texts.empty()) return {};
  const RuleId choice = builder_.Declare();
  builder_.Add(rule, {GrammarBuilder::Reference(choice)});
  if (!AddTexts(builder_, choice, std::move(texts), limits_.max_symbols, budget_)) {
    return Fail(ErrorKind::kDoesNotFit,
                "at {}: the values need more than {} grammar symbols or more than {} s to compile",
                tree_.Pointer(constraints.values->front()), limits_.max_symbols,
                limits_.max_cpu_seconds);
  }
  return {};
}

Result<> SchemaCompiler::AddArray(const Constraints& constraints, RuleId rule) {
  size_t n_prefix = 0;
  bool is_closed = constraints.no_more_items;
  bool has_items = false;
  for (const ArrayPart& part : constraints.arrays) {
    if (part.prefix != kNoNode)
      n_prefix = std::max<size_t>(n_prefix, tree_[part.prefix].n_children);
    if (part.items == kNoNode) continue;
    has_items = true;
    is_closed |= reader_.IsFalse(part.items);
  }
  const auto schemas_at = [&](size_t i) {
    SchemaList schemas;
    for (const ArrayPart& part : constraints.arrays) {
      const size_t n = part.prefix == kNoNode ? 0 : tree_[part.prefix].n_children;
      if (i < n) {
        schemas.push_back(tree_[part.prefix].first_child + static_cast<NodeId>(i));
      } else if (part.items != kNoNode) {
        schemas.push_back(part.items);
      }
    }
    return schemas;
  };
  // Behind a prefix there is more only where it is asked for.
  const bool may_go_on =
      !is_closed && (n_prefix == 0 || has_items || constraints.min_items > n_prefix);
  const auto n_described = static_cast<uint32_t>(std::min<size_t>(n_prefix, constraints.max_items));
  const uint32_t min = std::max(constraints.min_items, n_described);
  const uint32_t max = may_go_on ? constraints.max_items : n_described;
  if (min > max) return {};
  if (max == 0) {
    builder_.Add(rule, json_.Enclosed('[', std::nullopt, true, ']'));
    return {};
  }
  Sequence items;
  for (uint32_t i = 0; i < n_described; ++i) {
    if (i > 0) json_.AppendComma(items);
    items.push_back(ValueOf(schemas_at(i)));
    auto within = CheckLimits();
    if (!within) return within;
  }
  if (max > n_described) {
    const Symbol item = ValueOf(schemas_at(n_prefix));
    const uint32_t most = max == kUnbounded ? max : max - n_described;
    const uint32_t least = min - n_described;
    if (n_described == 0) {
      items.push_back(json_.List(item, least, most));
    } else {
      Sequence more;
      json_.AppendComma(more);
      more.push_back(item);
      items.push_back(builder_.Repeat(builder_.Concatenation(std::move(more)), least, most));
    }
  }
  builder_.Add(rule, json_.Enclosed('[', builder_.Concatenation(std::move(items)), min == 0, ']'));
  return {};
}

Result<SchemaCompiler::Members> SchemaCompiler::MembersOf(const Constraints& constraints) {
  Members members;
  KeyRules keys{.place = constraints.included[0]};
  Constraints key_constraints;
  for (const NodeId schema : constraints.property_names) {
    std::vector<NodeId> path;
    auto read = reader_.Read(schema, path, key_constraints);
    if (!read) return tl::unexpected(read.error());
    if (!key_constraints.unions.empty()) {
      return reader_.Bad(schema, "anyOf and oneOf of names are not supported");
    }
    keys.are_strings = &key_constraints;
  }
  std::unordered_map<std::string_view, size_t> known;
  std::vector<std::string_view>& names = keys.not_these;
  const auto add_name = [&](std::string_view name) {
    if (known.try_emplace(name, names.size()).second) names.push_back(name);
  };
  for (const ObjectPart& part : constraints.objects) {
    for (const NodeId property : reader_.Children(part.properties)) add_name(tree_[property].key);
    for (const NodeId pattern : reader_.Children(part.patterns)) {
      auto is_pattern = strings_.CheckPattern(pattern);
      if (!is_pattern) return tl::unexpected(is_pattern.error());
    }
  }
  const size_t n_described = names.size();
  for (const std::string_view name : constraints.required) add_name(name);

  for (const std::string_view name : names) {
    SchemaList schemas = reader_.SchemasOf(
        constraints, name,
        [&](NodeId pattern, std::string_view text) { return strings_.Matches(pattern, text); });
    const bool is_evaluated = !schemas.empty() || known[name] < n_described;
    auto may_be_key = MayBeKey(keys.are_strings, name);
    if (may_be_key) {
      auto within = CheckLimits();
      if (!within) return tl::unexpected(within.error());
    } else {
      return tl::unexpected(may_be_key.error());
    }
    const bool is_possible = *may_be_key && (is_evaluated || !constraints.no_more_properties) &&
                             std::none_of(schemas.begin(), schemas.end(),
                                          [&](NodeId schema) { return reader_.IsFalse(schema); });
    members.described.push_back({name, std::move(schemas), false, is_possible});
  }
  for (const std::string_view name : constraints.required) {
    Property& property = members.described[known[name]];
    property.is_required = true;
    members.is_impossible |= !property.is_possible;
  }
  std::erase_if(members.described, [](const Property& property) { return !property.is_possible; });
  const bool has_keys = keys.are_strings == nullptr ||
                        (!key_constraints.is_false && (key_constraints.types & kTypeString) != 0);
  if (has_keys) {
    auto added = AddOtherMembers(constraints, std::move(keys), members);
    if (!added) return tl::unexpected(added.error());
  }
  return members;
}

Result<bool> SchemaCompiler::MayBeKey(const Constraints* constraints, std::string_view name) {
  if (constraints == nullptr) return true;
  if (constraints->is_false || (constraints->types & kTypeString) == 0) return false;
  if (constraints->values &&
      std::none_of(constraints->values->begin(), constraints->values->end(), [&](NodeId value) {
        return tree_[value].kind == JsonNode::Kind::kString && tree_[value].text == name;
      })) {
    return false;
  }
  return strings_.Allows(*constraints, name);
}

// What `properties` does not name, by the patterns of patternProperties that it fits: each choice
// of them has schemas of its own.
Result<> SchemaCompiler::AddOtherMembers(const Constraints& constraints, KeyRules keys,
                                         Members& members) {
  constexpr size_t kMaxPatterns = 4;
  std::vector<std::string_view> patterns;
  bool has_properties = false;
  bool has_additional = false;
  for (const ObjectPart& part : constraints.objects) {
    has_properties |= part.properties != kNoNode || part.patterns != kNoNode;
    has_additional |= part.additional != kNoNode;
    for (const NodeId pattern : reader_.Children(part.patterns)) {
      const std::string_view key = tree_[pattern].key;
      if (std::find(patterns.begin(), patterns.end(), key) != patterns.end()) continue;
      patterns.push_back(key);
      if (patterns.size() > kMaxPatterns) {
        return reader_.Bad(part.patterns, "more than {} patterns for one object are not supported",
                           kMaxPatterns);
      }
    }
  }
  std::vector<Sequence> ways;
  for (uint32_t choice = 0; choice < 1U << patterns.size(); ++choice) {
    const bool is_described =
        choice != 0 || (!constraints.no_more_properties && (has_additional || !has_properties));
    if (!is_described) continue;
    keys.fit.clear();
    keys.do_not_fit.clear();
    for (size_t i = 0; i < patterns.size(); ++i) {
      (((choice >> i) & 1) != 0 ? keys.fit : keys.do_not_fit).push_back(patterns[i]);
    }
    const auto fits = [&](std::string_view pattern) {
      return std::find(keys.fit.begin(), keys.fit.end(), pattern) != keys.fit.end();
    };
    SchemaList schemas;
    for (const ObjectPart& part : constraints.objects) {
      const size_t n_before = schemas.size();
      for (const NodeId pattern : reader_.Children(part.patterns)) {
        if (fits(tree_[pattern].key)) schemas.push_back(pattern);
      }
      if (schemas.size() == n_before && part.additional != kNoNode) {
        schemas.push_back(part.additional);
      }
    }
    if (std::any_of(schemas.begin(), schemas.end(),
                    [&](NodeId schema) { return reader_.IsFalse(schema); })) {
      continue;
    }
    const auto key = strings_.Key(keys);
    if (!key) return tl::unexpected(key.error());
    Sequence member = {*key};
    json_.AppendColon(member);
    member.push_back(ValueOf(std::move(schemas)));
    ways.push_back(std::move(member));
  }
  if (!ways.empty()) members.other = builder_.Alternatives(std::move(ways));
  return {};
}

Result<> SchemaCompiler::AddObject(const Constraints& constraints, RuleId rule) {
  if (constraints.min_properties > constraints.max_properties) return {};
  auto members = MembersOf(constraints);
  if (!members) return tl::unexpected(members.error());
  if (members->is_impossible) return {};
  // Keys that are not described may be said twice, so they count as one.
  if (members->other && constraints.min_properties > members->described.size() + 1) {
    return reader_.Bad(constraints.included[0],
                       "minProperties above the number of `properties` and one is not supported");
  }
  MemberChain chain(*this, *members, constraints);
  if (!chain.IsCountable()) {
    return reader_.Bad(constraints.included[0],
                       "minProperties and maxProperties with that many members are not supported");
  }
  builder_.Add(rule, json_.Enclosed('{', chain.All(), chain.MayBeEmpty(), '}'));
  return {};
}

}  // namespace plimsoll::grammar
