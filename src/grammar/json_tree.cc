#include "grammar/json_tree.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <utility>

#include <simdjson.h>

#include "base/utf8.h"

namespace plimsoll::grammar {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// No fewer than there are values behind the first.
size_t CountSeparators(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return byte == ',' || byte == '[' || byte == '{';
  }));
}

}  // namespace

// Level by level, so that the depth of the document costs no stack.
class JsonTree::Reader {
 public:
  Reader(JsonTree& tree, const GrammarLimits& limits) : tree_(tree), limits_(limits) {}

  // `n_most`: of values.
  Result<> Read(const element& root, size_t n_most) {
    tree_.nodes_.reserve(std::min<size_t>(n_most, limits_.max_symbols));
    elements_.reserve(tree_.nodes_.capacity());
    Add(root, kNoNode, {});
    for (NodeId id = 0; id < tree_.nodes_.size(); ++id) {
      const element value = elements_[id];
      tree_.nodes_[id].first_child = static_cast<NodeId>(tree_.nodes_.size());
      if (value.is_array()) {
        const simdjson::dom::array items = value.get_array().value_unsafe();
        for (const element item : items) {
          if (!Add(item, id, {})) return TooMany();
        }
      } else if (value.is_object()) {
        const simdjson::dom::object fields = value.get_object().value_unsafe();
        for (const simdjson::dom::key_value_pair field : fields) {
          if (!Add(field.value, id, Keep(field.key))) return TooMany();
        }
      }
      JsonNode& node = tree_.nodes_[id];
      node.n_children = static_cast<uint32_t>(tree_.nodes_.size()) - node.first_child;
    }
    return OrderKeys();
  }

 private:
  [[nodiscard]] tl::unexpected<Error> TooMany() const {
    return Fail(ErrorKind::kDoesNotFit, "it has more than {} values", limits_.max_symbols);
  }

  std::string_view Keep(std::string_view text) {
    const size_t start = tree_.strings_.size();
    tree_.strings_ += text;  // within what was reserved
    return std::string_view(tree_.strings_).substr(start);
  }

  bool Add(const element& value, NodeId parent, std::string_view key) {
    if (tree_.nodes_.size() >= limits_.max_symbols) return false;
    JsonNode node{.parent = parent, .key = key};
    switch (value.type()) {
      case element_type::ARRAY:
        node.kind = JsonNode::Kind::kArray;
        break;
      case element_type::OBJECT:
        node.kind = JsonNode::Kind::kObject;
        break;
      case element_type::STRING:
        node.kind = JsonNode::Kind::kString;
        node.text = Keep(value.get_string().value_unsafe());
        break;
      case element_type::INT64:
        node.kind = JsonNode::Kind::kInteger;
        node.integer = value.get_int64().value_unsafe();
        break;
      case element_type::UINT64:
        node.kind = JsonNode::Kind::kUnsigned;
        node.natural = value.get_uint64().value_unsafe();
        break;
      case element_type::DOUBLE:
        node.kind = JsonNode::Kind::kDouble;
        node.number = value.get_double().value_unsafe();
        break;
      case element_type::BOOL:
        node.kind =
            value.get_bool().value_unsafe() ? JsonNode::Kind::kTrue : JsonNode::Kind::kFalse;
        break;
      case element_type::NULL_VALUE:
        break;
    }
    tree_.nodes_.push_back(node);
    elements_.push_back(value);
    return true;
  }

  Result<> OrderKeys() {
    std::vector<NodeId>& order = tree_.by_key_;
    order.resize(tree_.nodes_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto key = [&](NodeId id) { return tree_.nodes_[id].key; };
    for (const JsonNode& node : tree_.nodes_) {
      if (node.kind != JsonNode::Kind::kObject) continue;
      const auto begin = order.begin() + node.first_child;
      const auto end = begin + node.n_children;
      std::sort(begin, end, [&](NodeId a, NodeId b) { return key(a) < key(b); });
      const auto twice =
          std::adjacent_find(begin, end, [&](NodeId a, NodeId b) { return key(a) == key(b); });
      if (twice != end) {
        return Fail(ErrorKind::kUsage, "the key at {} is there twice", tree_.Pointer(*twice));
      }
    }
    return {};
  }

  JsonTree& tree_;
  GrammarLimits limits_;
  std::vector<element> elements_;  // of the nodes
};

Result<JsonTree> JsonTree::Parse(std::string_view text, std::string_view what,
                                 const GrammarLimits& limits) {
  if (text.empty()) return Fail(ErrorKind::kUsage, "{} is empty", what);
  if (text.size() > kMaxBytes) {
    return Fail(ErrorKind::kDoesNotFit, "{} has {} bytes; at most {} are read", what, text.size(),
                kMaxBytes);
  }
  simdjson::dom::parser parser;
  auto error = parser.allocate(text.size(), limits.max_depth);
  element root;
  if (error == simdjson::SUCCESS) error = parser.parse(text.data(), text.size()).get(root);
  if (error == simdjson::DEPTH_ERROR) {
    return Fail(ErrorKind::kDoesNotFit, "{} is nested deeper than {}", what, limits.max_depth);
  }
  if (error != simdjson::SUCCESS) {
    return Fail(ErrorKind::kUsage, "{} is no JSON: {}", what, simdjson::error_message(error));
  }
  JsonTree tree;
  tree.strings_.reserve(text.size() + 64);  // unescaped they are no longer, and never in place
  auto read = Reader(tree, limits).Read(root, CountSeparators(text) + 1);
  if (!read) return Fail(read.error().kind, "{}: {}", what, read.error().message);
  return tree;
}

NodeId JsonTree::Member(NodeId object, std::string_view key) const {
  const JsonNode& node = nodes_[object];
  if (node.kind != JsonNode::Kind::kObject) return kNoNode;
  const auto begin = by_key_.begin() + node.first_child;
  const auto end = begin + node.n_children;
  const auto found = std::lower_bound(
      begin, end, key, [&](NodeId id, std::string_view value) { return nodes_[id].key < value; });
  return found != end && nodes_[*found].key == key ? *found : kNoNode;
}

NodeId JsonTree::Resolve(std::string_view pointer) const {
  NodeId at = root();
  while (!pointer.empty()) {
    if (pointer[0] != '/') return kNoNode;
    pointer.remove_prefix(1);
    const std::string_view part = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(part.size());
    if (nodes_[at].kind == JsonNode::Kind::kArray) {
      uint32_t index = 0;
      const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
      const bool is_index = error == std::errc{} && end == part.data() + part.size();
      if (!is_index || index >= nodes_[at].n_children) return kNoNode;
      at = nodes_[at].first_child + index;
      continue;
    }
    std::string key;
    for (size_t i = 0; i < part.size(); ++i) {
      const bool is_escape = part[i] == '~' && i + 1 < part.size();
      if (is_escape) ++i;
      key += !is_escape ? part[i] : part[i] == '1' ? '/' : '~';
    }
    at = Member(at, key);
    if (at == kNoNode) return kNoNode;
  }
  return at;
}

std::string JsonTree::Pointer(NodeId id) const {
  std::vector<std::string> parts;
  for (; nodes_[id].parent != kNoNode; id = nodes_[id].parent) {
    const JsonNode& parent = nodes_[nodes_[id].parent];
    std::string part = "/";
    if (parent.kind == JsonNode::Kind::kArray) {
      part += std::to_string(id - parent.first_child);
    } else {
      for (const char byte : nodes_[id].key) {
        if (byte == '~') {
          part += "~0";
        } else if (byte == '/') {
          part += "~1";
        } else {
          part += byte;
        }
      }
    }
    parts.push_back(std::move(part));
  }
  std::string pointer;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) pointer += *part;
  return pointer.empty() ? "the top" : ForMessage(pointer);
}

std::string ForMessage(std::string_view text) {
  constexpr size_t kMaxLength = 200;
  std::string shown;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(Utf8Length(text), 1);
    if (shown.size() + length > kMaxLength) return shown + "...";
    const bool is_plain = Utf8Length(text) > 0 && static_cast<uint8_t>(text[0]) >= 0x20;
    shown += is_plain ? text.substr(0, length) : std::string_view("?");
    text.remove_prefix(length);
  }
  return shown;
}

}  // namespace plimsoll::grammar
