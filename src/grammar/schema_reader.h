// What the keywords of a JSON schema ask for.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/json_tree.h"
#include "grammar/number_range.h"

namespace plimsoll::grammar {

using TypeSet = uint8_t;
inline constexpr TypeSet kTypeNull = 1;
inline constexpr TypeSet kTypeBoolean = 2;
inline constexpr TypeSet kTypeObject = 4;
inline constexpr TypeSet kTypeArray = 8;
inline constexpr TypeSet kTypeInteger = 16;
inline constexpr TypeSet kTypeFraction = 32;  // numbers that are no integers
inline constexpr TypeSet kTypeNumber = kTypeInteger | kTypeFraction;
inline constexpr TypeSet kTypeString = 64;
inline constexpr TypeSet kTypeAny = 127;

// Of a value, by what it is.
[[nodiscard]] TypeSet TypeOf(const JsonNode& node);

// Schemas that have to hold together, by the nodes of their document; in any order.
using SchemaList = std::vector<NodeId>;

// anyOf or oneOf: one of the schemas of a list has to hold too.
struct SchemaUnion {
  NodeId list = kNoNode;
  bool is_exclusive = false;   // exactly one
  std::vector<NodeId> path{};  // the schemas that led to it, itself the last
};

// The object keywords of one schema: additionalProperties is about what this one does not name.
struct ObjectPart {
  NodeId properties = kNoNode;
  NodeId patterns = kNoNode;
  NodeId additional = kNoNode;
};

struct ArrayPart {
  NodeId prefix = kNoNode;
  NodeId items = kNoNode;  // behind the prefix
};

// The keywords of schemas that have to hold together.
struct Constraints {
  bool is_false = false;  // nothing fits
  bool has_keywords = false;
  TypeSet types = kTypeAny;
  TypeSet implied_types = 0;                  // that keywords are about
  std::optional<std::vector<NodeId>> values;  // of enum and const

  NumberRange range;
  std::vector<NodeId> multiples;
  std::vector<NodeId> number_formats;

  uint32_t min_length = 0;
  uint32_t max_length = kUnbounded;
  std::vector<NodeId> patterns;
  std::vector<NodeId> formats;

  std::vector<ArrayPart> arrays;
  uint32_t min_items = 0;
  uint32_t max_items = kUnbounded;
  bool no_more_items = false;  // than are described

  std::vector<ObjectPart> objects;
  std::vector<std::string_view> required;
  std::vector<NodeId> property_names;
  uint32_t min_properties = 0;
  uint32_t max_properties = kUnbounded;
  bool no_more_properties = false;

  std::vector<SchemaUnion> unions;
  std::vector<NodeId> included;  // the schemas that were read

  [[nodiscard]] bool bounds_numbers() const {
    return range.lower || range.upper || !multiples.empty();
  }
  // A schema that leaves out `type` but has keywords about one kind of value means that kind.
  [[nodiscard]] TypeSet WantedTypes() const {
    return types == kTypeAny && implied_types != 0 ? implied_types : types;
  }
};

class SchemaReader {
 public:
  // `tree` must outlive it.
  SchemaReader(const JsonTree& tree, const GrammarLimits& limits) : tree_(tree), limits_(limits) {}

  // Adds the keywords of `schema` to `to`. `path`: the schemas that hold for the same value and led
  // here by $ref, allOf, anyOf and oneOf. The error names the keyword and where it is.
  [[nodiscard]] Result<> Read(NodeId schema, std::vector<NodeId>& path, Constraints& to) const;

  // The schemas that hold for a member of an object, whether it is described or not. `matches`
  // tells whether a key of patternProperties, a node, is about the name.
  template <class Matches>
  [[nodiscard]] SchemaList SchemasOf(const Constraints& object, std::string_view name,
                                     const Matches& matches) const {
    SchemaList schemas;
    for (const ObjectPart& part : object.objects) {
      const size_t n_before = schemas.size();
      if (part.properties != kNoNode) {
        const NodeId schema = tree_.Member(part.properties, name);
        if (schema != kNoNode) schemas.push_back(schema);
      }
      for (const NodeId pattern : Children(part.patterns)) {
        if (matches(pattern, name)) schemas.push_back(pattern);
      }
      if (schemas.size() == n_before && part.additional != kNoNode) {
        schemas.push_back(part.additional);
      }
    }
    return schemas;
  }

  [[nodiscard]] std::vector<NodeId> Children(NodeId id) const;
  [[nodiscard]] bool IsFalse(NodeId schema) const {
    return tree_[schema].kind == JsonNode::Kind::kFalse;
  }

  // kUsage: "at /properties/a: <what>", where /properties/a is the schema that has the node `at`.
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> Bad(NodeId at, fmt::format_string<Args...> format,
                                          Args&&... args) const {
    return Fail(ErrorKind::kUsage, "at {}: {}", tree_.Pointer(at),
                fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  [[nodiscard]] Result<> ReadKeyword(NodeId keyword, NodeId schema, std::vector<NodeId>& path,
                                     Constraints& to) const;
  [[nodiscard]] Result<> ReadReference(NodeId keyword, std::vector<NodeId>& path,
                                       Constraints& to) const;
  [[nodiscard]] Result<> ReadTypes(NodeId keyword, NodeId schema, Constraints& to) const;
  [[nodiscard]] Result<> ReadAllOf(NodeId keyword, std::vector<NodeId>& path,
                                   Constraints& to) const;
  [[nodiscard]] Result<> ReadValues(NodeId keyword, const std::vector<NodeId>& values,
                                    Constraints& to) const;
  [[nodiscard]] Result<> ReadBound(NodeId keyword, bool is_lower, bool is_exclusive,
                                   Constraints& to) const;
  [[nodiscard]] Result<> ReadFormat(NodeId keyword, Constraints& to) const;
  [[nodiscard]] Result<> ReadCount(NodeId keyword, uint32_t* min, uint32_t* max) const;
  [[nodiscard]] Result<> ReadObjectKeywords(NodeId schema, Constraints& to) const;
  [[nodiscard]] Result<> ReadArrayKeywords(NodeId schema, Constraints& to) const;
  [[nodiscard]] Result<> ReadRequired(NodeId keyword, Constraints& to) const;
  // The keyword's value must be of this kind.
  [[nodiscard]] Result<> Expect(NodeId keyword, JsonNode::Kind kind, std::string_view what) const;
  [[nodiscard]] Result<> ExpectSchemas(NodeId list) const;

  const JsonTree& tree_;
  GrammarLimits limits_;
};

}  // namespace plimsoll::grammar
