#include "grammar/schema_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_set>

#include "grammar/formats.h"
#include "grammar/json_grammar.h"

namespace plimsoll::grammar {
namespace {

using NodeKind = JsonNode::Kind;

constexpr size_t kMaxUnions = 64;

enum class Keyword : uint8_t {
  kNote,  // asks for nothing
  kDone,  // read together with others, or by those that refer to it
  kRefused,
  kRef,
  kType,
  kNullable,
  kEnum,
  kConst,
  kAllOf,
  kAnyOf,
  kOneOf,
  kMinimum,
  kMaximum,
  kExclusiveMinimum,
  kExclusiveMaximum,
  kMultipleOf,
  kMinLength,
  kMaxLength,
  kPattern,
  kFormat,
  kMinItems,
  kMaxItems,
  kMinProperties,
  kMaxProperties,
  kRequired,
  kPropertyNames,
  kUnevaluatedProperties,
  kUnevaluatedItems,
  kUniqueItems,
};

struct NamedKeyword {
  std::string_view name;
  Keyword keyword;
  TypeSet types;  // that it is about
};

// https://json-schema.org/draft/2020-12, the older drafts' `definitions` and `additionalItems`, and
// OpenAPI 3.0's `nullable` and notes. Ordered by name.
constexpr std::array kKeywords = std::to_array<NamedKeyword>({
    {"$anchor", Keyword::kNote, 0},
    {"$comment", Keyword::kNote, 0},
    {"$defs", Keyword::kDone, 0},
    {"$dynamicAnchor", Keyword::kNote, 0},
    {"$dynamicRef", Keyword::kRefused, 0},
    {"$id", Keyword::kNote, 0},
    {"$recursiveAnchor", Keyword::kNote, 0},
    {"$recursiveRef", Keyword::kRefused, 0},
    {"$ref", Keyword::kRef, 0},
    {"$schema", Keyword::kNote, 0},
    {"$vocabulary", Keyword::kNote, 0},
    {"additionalItems", Keyword::kDone, kTypeArray},
    {"additionalProperties", Keyword::kDone, kTypeObject},
    {"allOf", Keyword::kAllOf, 0},
    {"anyOf", Keyword::kAnyOf, 0},
    {"const", Keyword::kConst, 0},
    {"contains", Keyword::kRefused, 0},
    {"contentEncoding", Keyword::kNote, 0},
    {"contentMediaType", Keyword::kNote, 0},
    {"contentSchema", Keyword::kNote, 0},
    {"default", Keyword::kNote, 0},
    {"definitions", Keyword::kDone, 0},
    {"dependencies", Keyword::kRefused, 0},
    {"dependentRequired", Keyword::kRefused, 0},
    {"dependentSchemas", Keyword::kRefused, 0},
    {"deprecated", Keyword::kNote, 0},
    {"description", Keyword::kNote, 0},
    {"discriminator", Keyword::kNote, 0},
    {"else", Keyword::kRefused, 0},
    {"enum", Keyword::kEnum, 0},
    {"example", Keyword::kNote, 0},
    {"examples", Keyword::kNote, 0},
    {"exclusiveMaximum", Keyword::kExclusiveMaximum, kTypeNumber},
    {"exclusiveMinimum", Keyword::kExclusiveMinimum, kTypeNumber},
    {"externalDocs", Keyword::kNote, 0},
    {"format", Keyword::kFormat, 0},  // of texts or of numbers
    {"if", Keyword::kRefused, 0},
    {"items", Keyword::kDone, kTypeArray},
    {"maxContains", Keyword::kRefused, 0},
    {"maxItems", Keyword::kMaxItems, kTypeArray},
    {"maxLength", Keyword::kMaxLength, kTypeString},
    {"maxProperties", Keyword::kMaxProperties, kTypeObject},
    {"maximum", Keyword::kMaximum, kTypeNumber},
    {"minContains", Keyword::kRefused, 0},
    {"minItems", Keyword::kMinItems, kTypeArray},
    {"minLength", Keyword::kMinLength, kTypeString},
    {"minProperties", Keyword::kMinProperties, kTypeObject},
    {"minimum", Keyword::kMinimum, kTypeNumber},
    {"multipleOf", Keyword::kMultipleOf, kTypeNumber},
    {"not", Keyword::kRefused, 0},
    {"nullable", Keyword::kNullable, 0},
    {"oneOf", Keyword::kOneOf, 0},
    {"pattern", Keyword::kPattern, kTypeString},
    {"patternProperties", Keyword::kDone, kTypeObject},
    {"prefixItems", Keyword::kDone, kTypeArray},
    {"properties", Keyword::kDone, kTypeObject},
    {"propertyNames", Keyword::kPropertyNames, kTypeObject},
    {"readOnly", Keyword::kNote, 0},
    {"required", Keyword::kRequired, kTypeObject},
    {"then", Keyword::kRefused, 0},
    {"title", Keyword::kNote, 0},
    {"type", Keyword::kType, 0},
    {"unevaluatedItems", Keyword::kUnevaluatedItems, kTypeArray},
    {"unevaluatedProperties", Keyword::kUnevaluatedProperties, kTypeObject},
    {"uniqueItems", Keyword::kUniqueItems, kTypeArray},
    {"writeOnly", Keyword::kNote, 0},
    {"xml", Keyword::kNote, 0},
});

const NamedKeyword* FindKeyword(std::string_view name) {
  const auto* const found =
      std::lower_bound(kKeywords.begin(), kKeywords.end(), name,
                       [](const NamedKeyword& a, std::string_view b) { return a.name < b; });
  return found != kKeywords.end() && found->name == name ? found : nullptr;
}

std::optional<TypeSet> TypeByName(std::string_view name) {
  if (name == "null") return kTypeNull;
  if (name == "boolean") return kTypeBoolean;
  if (name == "object") return kTypeObject;
  if (name == "array") return kTypeArray;
  if (name == "integer") return kTypeInteger;
  if (name == "number") return kTypeNumber;
  if (name == "string") return kTypeString;
  return std::nullopt;
}

// Of a fragment of a URI: %20 is a space.
std::string PercentDecoded(std::string_view text) {
  const auto digit = [](char byte) {
    return byte >= '0' && byte <= '9'                     ? byte - '0'
           : (byte | 0x20) >= 'a' && (byte | 0x20) <= 'f' ? (byte | 0x20) - 'a' + 10
                                                          : -1;
  };
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_code =
        text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0;
    decoded += is_code ? static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2])) : text[i];
    if (is_code) i += 2;
  }
  return decoded;
}

}  // namespace

TypeSet TypeOf(const JsonNode& node) {
  switch (node.kind) {
    case NodeKind::kNull:
      return kTypeNull;
    case NodeKind::kFalse:
    case NodeKind::kTrue:
      return kTypeBoolean;
    case NodeKind::kInteger:
    case NodeKind::kUnsigned:
      return kTypeInteger;
    case NodeKind::kDouble:
      return node.number == std::trunc(node.number) ? kTypeInteger : kTypeFraction;
    case NodeKind::kString:
      return kTypeString;
    case NodeKind::kArray:
      return kTypeArray;
    case NodeKind::kObject:
      return kTypeObject;
  }
  return 0;
}

std::vector<NodeId> SchemaReader::Children(NodeId id) const {
  std::vector<NodeId> children;
  if (id != kNoNode) {
    for (uint32_t i = 0; i < tree_[id].n_children; ++i) {
      children.push_back(tree_[id].first_child + i);
    }
  }
  return children;
}

Result<> SchemaReader::Expect(NodeId keyword, NodeKind kind, std::string_view what) const {
  if (tree_[keyword].kind == kind) return {};
  return Bad(keyword, "{} is wanted here", what);
}

Result<> SchemaReader::ExpectSchemas(NodeId list) const {
  auto is_list = Expect(list, NodeKind::kArray, "a list of schemas");
  if (is_list && tree_[list].n_children == 0) return Bad(list, "the list is empty");
  return is_list;
}

Result<> SchemaReader::Read(NodeId schema, std::vector<NodeId>& path, Constraints& to) const {
  const JsonNode& node = tree_[schema];
  if (std::find(path.begin(), path.end(), schema) != path.end()) {
    return Bad(schema, "the schema refers to itself without saying anything in between");
  }
  if (path.size() >= limits_.max_depth) {
    return Fail(ErrorKind::kDoesNotFit,
                "at {}: more than {} schemas hold for one value by $ref, "
                "allOf, anyOf and oneOf",
                tree_.Pointer(schema), limits_.max_depth);
  }
  if (std::find(to.included.begin(), to.included.end(), schema) != to.included.end()) return {};
  to.included.push_back(schema);
  if (node.kind == NodeKind::kTrue) return {};
  if (node.kind == NodeKind::kFalse) {
    to.is_false = to.has_keywords = true;
    return {};
  }
  if (node.kind != NodeKind::kObject) {
    return Bad(schema, "a schema, which is an object, true or false, is wanted here");
  }
  path.push_back(schema);
  for (const NodeId keyword : Children(schema)) {
    auto read = ReadKeyword(keyword, schema, path, to);
    if (!read) return read;
  }
  path.pop_back();
  auto read = ReadObjectKeywords(schema, to);
  if (!read) return read;
  return ReadArrayKeywords(schema, to);
}

Result<> SchemaReader::ReadKeyword(NodeId keyword, NodeId schema, std::vector<NodeId>& path,
                                   Constraints& to) const {
  const std::string_view name = tree_[keyword].key;
  const NamedKeyword* known = FindKeyword(name);
  if (known == nullptr && name.starts_with("x-")) return {};
  if (known == nullptr) return Bad(keyword, "the keyword is not known");
  if (known->keyword == Keyword::kNote) return {};
  to.implied_types |= known->types;
  const bool is_definition = known->keyword == Keyword::kDone && known->types == 0;
  to.has_keywords |= !is_definition && known->keyword != Keyword::kRef &&
                     known->keyword != Keyword::kAllOf && known->keyword != Keyword::kAnyOf &&
                     known->keyword != Keyword::kOneOf;
  switch (known->keyword) {
    case Keyword::kNote:
    case Keyword::kDone:
      return {};
    case Keyword::kRefused:
      return Bad(keyword, "the keyword is not supported");
    case Keyword::kRef:
      return ReadReference(keyword, path, to);
    case Keyword::kType:
      return ReadTypes(keyword, schema, to);
    case Keyword::kNullable: {
      const bool is_flag =
          tree_[keyword].kind == NodeKind::kTrue || tree_[keyword].kind == NodeKind::kFalse;
      return is_flag ? Result<>() : Bad(keyword, "true or false is wanted here");
    }
    case Keyword::kEnum: {
      auto is_list = Expect(keyword, NodeKind::kArray, "a list of values");
      return is_list ? ReadValues(keyword, Children(keyword), to) : is_list;
    }
    case Keyword::kConst:
      return ReadValues(keyword, {keyword}, to);
    case Keyword::kAllOf:
      return ReadAllOf(keyword, path, to);
    case Keyword::kAnyOf:
    case Keyword::kOneOf:
      if (to.unions.size() >= kMaxUnions) {
        return Fail(ErrorKind::kDoesNotFit,
                    "at {}: more than {} lists of anyOf and oneOf hold for one value",
                    tree_.Pointer(keyword), kMaxUnions);
      }
      to.unions.push_back({keyword, known->keyword == Keyword::kOneOf, path});
      return ExpectSchemas(keyword);
    case Keyword::kMinimum:
      return ReadBound(keyword, true, false, to);
    case Keyword::kMaximum:
      return ReadBound(keyword, false, false, to);
    case Keyword::kExclusiveMinimum:
      return ReadBound(keyword, true, true, to);
    case Keyword::kExclusiveMaximum:
      return ReadBound(keyword, false, true, to);
    case Keyword::kMultipleOf:
      to.multiples.push_back(keyword);
      return {};
    case Keyword::kMinLength:
      return ReadCount(keyword, &to.min_length, nullptr);
    case Keyword::kMaxLength:
      return ReadCount(keyword, nullptr, &to.max_length);
    case Keyword::kPattern:
      to.patterns.push_back(keyword);
      return Expect(keyword, NodeKind::kString, "a regular expression");
    case Keyword::kFormat:
      return ReadFormat(keyword, to);
    case Keyword::kMinItems:
      return ReadCount(keyword, &to.min_items, nullptr);
    case Keyword::kMaxItems:
      return ReadCount(keyword, nullptr, &to.max_items);
    case Keyword::kMinProperties:
      return ReadCount(keyword, &to.min_properties, nullptr);
    case Keyword::kMaxProperties:
      return ReadCount(keyword, nullptr, &to.max_properties);
    case Keyword::kRequired:
      return ReadRequired(keyword, to);
    case Keyword::kPropertyNames:
      to.property_names.push_back(keyword);
      return {};
    case Keyword::kUnevaluatedProperties:
    case Keyword::kUnevaluatedItems: {
      const NodeKind kind = tree_[keyword].kind;
      if (kind != NodeKind::kTrue && kind != NodeKind::kFalse) {
        return Bad(keyword, "only true and false are supported here");
      }
      bool& none =
          known->keyword == Keyword::kUnevaluatedItems ? to.no_more_items : to.no_more_properties;
      none |= kind == NodeKind::kFalse;
      return {};
    }
    case Keyword::kUniqueItems:
      if (tree_[keyword].kind == NodeKind::kFalse) return {};
      return Bad(keyword, "the keyword is not supported");
  }
  return {};
}

Result<> SchemaReader::ReadReference(NodeId keyword, std::vector<NodeId>& path,
                                     Constraints& to) const {
  auto is_text = Expect(keyword, NodeKind::kString, "a reference");
  if (!is_text) return is_text;
  const std::string_view reference = tree_[keyword].text;
  if (reference != "#" && !reference.starts_with("#/")) {
    return Bad(keyword, "only references into the schema itself, # and #/..., are supported");
  }
  const NodeId target = tree_.Resolve(PercentDecoded(reference.substr(1)));
  if (target == kNoNode) {
    return Bad(keyword, "there is nothing at {}", ForMessage(reference));
  }
  return Read(target, path, to);
}

Result<> SchemaReader::ReadTypes(NodeId keyword, NodeId schema, Constraints& to) const {
  TypeSet types = 0;
  const bool is_list = tree_[keyword].kind == NodeKind::kArray;
  for (const NodeId name : is_list ? Children(keyword) : std::vector{keyword}) {
    const auto type = tree_[name].kind == NodeKind::kString ? TypeByName(tree_[name].text)
                                                            : std::optional<TypeSet>();
    if (!type) {
      return Bad(name,
                 "a type is wanted here: null, boolean, object, array, integer, number or "
                 "string");
    }
    types |= *type;
  }
  const NodeId nullable = tree_.Member(schema, "nullable");
  if (nullable != kNoNode && tree_[nullable].kind == NodeKind::kTrue) types |= kTypeNull;
  to.types &= types;
  return {};
}

Result<> SchemaReader::ReadAllOf(NodeId keyword, std::vector<NodeId>& path, Constraints& to) const {
  auto is_list = ExpectSchemas(keyword);
  if (!is_list) return is_list;
  for (const NodeId schema : Children(keyword)) {
    auto read = Read(schema, path, to);
    if (!read) return read;
  }
  return {};
}

Result<> SchemaReader::ReadValues(NodeId keyword, const std::vector<NodeId>& values,
                                  Constraints& to) const {
  if (values.empty()) return Bad(keyword, "the list is empty");
  if (!to.values) {
    to.values = values;
    return {};
  }
  std::unordered_set<std::string> others;
  for (const NodeId value : values) others.insert(CanonicalText(tree_, value));
  std::erase_if(*to.values,
                [&](NodeId value) { return !others.contains(CanonicalText(tree_, value)); });
  return {};
}

Result<> SchemaReader::ReadBound(NodeId keyword, bool is_lower, bool is_exclusive,
                                 Constraints& to) const {
  if ((TypeOf(tree_[keyword]) & kTypeNumber) == 0) return Bad(keyword, "a number is wanted here");
  auto value = DecimalOf(tree_[keyword]);
  if (!value) return Bad(keyword, "bounds with more than 32 digits are not supported");
  NumberBound bound = {*std::move(value), is_exclusive};
  if (is_lower) {
    to.range.RaiseLower(std::move(bound));
  } else {
    to.range.LowerUpper(std::move(bound));
  }
  return {};
}

Result<> SchemaReader::ReadFormat(NodeId keyword, Constraints& to) const {
  auto is_name = Expect(keyword, NodeKind::kString, "a format's name");
  if (!is_name) return is_name;
  const FormatKind kind = KindOfFormat(tree_[keyword].text);
  if (kind == FormatKind::kUnknown) return Bad(keyword, "this format is not supported");
  to.implied_types |= kind == FormatKind::kOfNumbers ? kTypeNumber : kTypeString;
  (kind == FormatKind::kOfNumbers ? to.number_formats : to.formats).push_back(keyword);
  return {};
}

Result<> SchemaReader::ReadCount(NodeId keyword, uint32_t* min, uint32_t* max) const {
  const JsonNode& node = tree_[keyword];
  const bool is_count =
      TypeOf(node) == kTypeInteger &&
      (node.kind == NodeKind::kDouble ? node.number >= 0
                                      : node.kind == NodeKind::kUnsigned || node.integer >= 0);
  if (!is_count) return Bad(keyword, "a whole number from 0 on is wanted here");
  const double value = node.kind == NodeKind::kDouble     ? node.number
                       : node.kind == NodeKind::kUnsigned ? static_cast<double>(node.natural)
                                                          : static_cast<double>(node.integer);
  const bool is_huge = value >= kUnbounded;
  const uint32_t count = is_huge ? kUnbounded : static_cast<uint32_t>(value);
  if (min != nullptr && is_huge) return Bad(keyword, "the number is too large");
  if (min != nullptr) *min = std::max(*min, count);
  if (max != nullptr) *max = std::min(*max, count);
  return {};
}

Result<> SchemaReader::ReadRequired(NodeId keyword, Constraints& to) const {
  auto is_list = Expect(keyword, NodeKind::kArray, "a list of names");
  if (!is_list) return is_list;
  for (const NodeId name : Children(keyword)) {
    auto is_name = Expect(name, NodeKind::kString, "a name");
    if (!is_name) return is_name;
    to.required.push_back(tree_[name].text);
  }
  return {};
}

Result<> SchemaReader::ReadObjectKeywords(NodeId schema, Constraints& to) const {
  const ObjectPart part{.properties = tree_.Member(schema, "properties"),
                        .patterns = tree_.Member(schema, "patternProperties"),
                        .additional = tree_.Member(schema, "additionalProperties")};
  for (const NodeId keyword : {part.properties, part.patterns}) {
    if (keyword == kNoNode) continue;
    auto is_object = Expect(keyword, NodeKind::kObject, "an object of schemas");
    if (!is_object) return is_object;
  }
  if (part.properties != kNoNode || part.patterns != kNoNode || part.additional != kNoNode) {
    to.objects.push_back(part);
  }
  return {};
}

Result<> SchemaReader::ReadArrayKeywords(NodeId schema, Constraints& to) const {
  ArrayPart part{.prefix = tree_.Member(schema, "prefixItems"),
                 .items = tree_.Member(schema, "items")};
  const NodeId additional = tree_.Member(schema, "additionalItems");
  if (part.items != kNoNode && tree_[part.items].kind == NodeKind::kArray) {  // until draft 2019-09
    if (part.prefix != kNoNode) return Bad(part.items, "a schema is wanted here");
    part = {.prefix = part.items, .items = additional};
  } else if (additional != kNoNode) {
    return Bad(additional, "the keyword is supported beside a list of `items` only");
  }
  if (part.prefix != kNoNode) {
    auto is_list = Expect(part.prefix, NodeKind::kArray, "a list of schemas");
    if (!is_list) return is_list;
  }
  if (part.prefix != kNoNode || part.items != kNoNode) to.arrays.push_back(part);
  return {};
}

}  // namespace plimsoll::grammar
