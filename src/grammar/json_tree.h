// A JSON document as a flat list of nodes, in the order in which its members are written.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "grammar/grammar.h"

namespace plimsoll::grammar {

using NodeId = uint32_t;
inline constexpr NodeId kNoNode = UINT32_MAX;

struct JsonNode {
  enum class Kind : uint8_t {
    kNull,
    kFalse,
    kTrue,
    kInteger,   // an int64_t
    kUnsigned,  // a uint64_t that is no int64_t
    kDouble,    // finite
    kString,
    kArray,
    kObject,
  };
  Kind kind = Kind::kNull;
  NodeId parent = kNoNode;
  NodeId first_child = 0;  // the children of a node are next to each other
  uint32_t n_children = 0;
  std::string_view key{};   // of a member of an object
  std::string_view text{};  // of a string
  union {
    int64_t integer = 0;
    uint64_t natural;
    double number;
  };
};

// Immutable once made.
class JsonTree {
 public:
  static constexpr size_t kMaxBytes = size_t{512} << 10;

  // kUsage where `text` is no JSON (RFC 8259, UTF-8) or an object has a key twice, kDoesNotFit
  // where it is longer than kMaxBytes, nested deeper than limits.max_depth or has more than
  // limits.max_symbols values. `what` is what messages call it.
  [[nodiscard]] static Result<JsonTree> Parse(std::string_view text, std::string_view what,
                                              const GrammarLimits& limits);

  [[nodiscard]] static constexpr NodeId root() { return 0; }
  [[nodiscard]] const JsonNode& operator[](NodeId id) const { return nodes_[id]; }
  [[nodiscard]] size_t size() const { return nodes_.size(); }

  // The member of an object by its key; kNoNode where there is none or `object` is none.
  [[nodiscard]] NodeId Member(NodeId object, std::string_view key) const;
  // What a JSON pointer (RFC 6901) leads to from the root; kNoNode where it leads nowhere.
  [[nodiscard]] NodeId Resolve(std::string_view pointer) const;
  // The pointer to a node, fit for a message: control characters replaced, a long one shortened.
  [[nodiscard]] std::string Pointer(NodeId id) const;

 private:
  class Reader;

  std::string strings_;
  std::vector<JsonNode> nodes_;
  std::vector<NodeId> by_key_;  // the children of each object, ordered by their keys
};

// `text` fit for a message: control characters replaced, a long one shortened.
[[nodiscard]] std::string ForMessage(std::string_view text);

}  // namespace plimsoll::grammar
