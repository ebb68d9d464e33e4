#include "grammar/json_grammar.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace plimsoll::grammar {
namespace {

using NodeKind = JsonNode::Kind;

constexpr uint32_t kMaxBlanks = 20;  // of a line's indentation; llama.cpp has the same
constexpr uint32_t kMaxDigits = 16;
constexpr uint32_t kMaxExponentDigits = 2;
constexpr size_t kMaxSequence = 100'000;  // of a value; beyond it any builder is full

ByteSet SetOfBytes(std::string_view bytes) {
  ByteSet set;
  for (const char byte : bytes) set.set(static_cast<uint8_t>(byte));
  return set;
}

std::string ScalarText(const JsonNode& node) {
  switch (node.kind) {
    case NodeKind::kNull:
      return "null";
    case NodeKind::kFalse:
      return "false";
    case NodeKind::kTrue:
      return "true";
    case NodeKind::kInteger:
      return std::to_string(node.integer);
    case NodeKind::kUnsigned:
      return std::to_string(node.natural);
    case NodeKind::kDouble:
      if (node.number == std::trunc(node.number) && std::abs(node.number) < 1e15) {
        return std::to_string(static_cast<int64_t>(node.number));
      }
      return fmt::format("{}", node.number);
    default:
      return '"' + JsonSpelling(node.text) + '"';
  }
}

// The members of an object by key, the items of an array as they are.
std::vector<NodeId> ChildrenInOrder(const JsonTree& tree, NodeId id) {
  const JsonNode& node = tree[id];
  std::vector<NodeId> children;
  for (uint32_t i = 0; i < node.n_children; ++i) children.push_back(node.first_child + i);
  if (node.kind == NodeKind::kObject) {
    std::sort(children.begin(), children.end(),
              [&](NodeId a, NodeId b) { return tree[a].key < tree[b].key; });
  }
  return children;
}

}  // namespace

std::string CanonicalText(const JsonTree& tree, NodeId id) {
  const JsonNode& node = tree[id];
  if (node.kind != NodeKind::kArray && node.kind != NodeKind::kObject) return ScalarText(node);
  const bool is_object = node.kind == NodeKind::kObject;
  std::string text(1, is_object ? '{' : '[');
  for (const NodeId child : ChildrenInOrder(tree, id)) {
    if (text.size() > 1) text += ',';
    if (is_object) text += '"' + JsonSpelling(tree[child].key) + "\":";
    text += CanonicalText(tree, child);
  }
  return text + (is_object ? '}' : ']');
}

ByteSet JsonGrammar::DigitSet(char first, char last) {
  ByteSet set;
  for (char digit = first; digit <= last; ++digit) set.set(static_cast<uint8_t>(digit));
  return set;
}

template <class Fill>
Symbol JsonGrammar::Once(std::optional<Symbol>& made, Fill fill) {
  if (!made) {
    const RuleId rule = builder_.Declare();
    made = GrammarBuilder::Reference(rule);
    fill(rule);
  }
  return *made;
}

Symbol JsonGrammar::Space() {
  return Once(space_, [&](RuleId rule) {
    const Symbol blank = builder_.Bytes(SetOfBytes(" \t"));
    builder_.Add(rule, {});
    builder_.Add(rule, {builder_.Byte(' ')});
    builder_.Add(rule, {builder_.Byte('\n'), builder_.Repeat(blank, 0, kMaxBlanks)});
  });
}

Symbol JsonGrammar::Text(std::string_view text) {
  Sequence parts;
  builder_.AppendText(parts, text);
  return builder_.Concatenation(std::move(parts));
}

Symbol JsonGrammar::Optional(Sequence parts) {
  return builder_.Repeat(builder_.Concatenation(std::move(parts)), 0, 1);
}

// RFC 8259, section 7; pairs of surrogates are one character.
Symbol JsonGrammar::StringCharacter() {
  return Once(character_, [&](RuleId rule) {
    ByteSet plain;
    for (unsigned byte = 0x20; byte < 0x80; ++byte) plain.set(byte, byte != '"' && byte != '\\');
    builder_.Add(rule, {builder_.Bytes(plain)});
    builder_.Add(rule, {builder_.Characters(0x80, kLastCodePoint)});
    const Symbol backslash = builder_.Byte('\\');
    builder_.Add(rule, {backslash, builder_.Bytes(SetOfBytes("\"\\/bfnrt"))});
    const Symbol u = builder_.Byte('u');
    const Symbol hex = builder_.Bytes(SetOfBytes("0123456789abcdefABCDEF"));
    const Symbol no_d = builder_.Bytes(SetOfBytes("0123456789abcefABCEF"));
    const Symbol d = builder_.Bytes(SetOfBytes("dD"));
    const Symbol low = builder_.Bytes(SetOfBytes("01234567"));
    const Symbol leading = builder_.Bytes(SetOfBytes("89abAB"));
    const Symbol trailing = builder_.Bytes(SetOfBytes("cdefCDEF"));
    builder_.Add(rule, {backslash, u, no_d, hex, hex, hex});
    builder_.Add(rule, {backslash, u, d, low, hex, hex});
    builder_.Add(rule, {backslash, u, d, leading, hex, hex, backslash, u, d, trailing, hex, hex});
  });
}

Symbol JsonGrammar::String(uint32_t min, uint32_t max) {
  const Symbol quote = builder_.Byte('"');
  const auto make = [&] {
    return Sequence{quote, builder_.Repeat(StringCharacter(), min, max), quote};
  };
  if (min > 0 || max != kUnbounded) return builder_.Concatenation(make());
  return Once(string_, [&](RuleId rule) { builder_.Add(rule, make()); });
}

Symbol JsonGrammar::Integer() {
  return Once(integer_, [&](RuleId rule) {
    const Symbol minus = builder_.Repeat(builder_.Byte('-'), 0, 1);
    builder_.Add(rule, {minus, builder_.Byte('0')});
    builder_.Add(rule, {minus, Digits('1', '9'), builder_.Repeat(Digit(), 0, kMaxDigits - 1)});
  });
}

Symbol JsonGrammar::Number() {
  return Once(number_, [&](RuleId rule) {
    const Symbol fraction = Optional({builder_.Byte('.'), builder_.Repeat(Digit(), 1, kMaxDigits)});
    const Symbol sign = builder_.Repeat(builder_.Bytes(SetOfBytes("+-")), 0, 1);
    const Symbol exponent = Optional(
        {builder_.Bytes(SetOfBytes("eE")), sign, builder_.Repeat(Digit(), 1, kMaxExponentDigits)});
    builder_.Add(rule, {Integer(), fraction, exponent});
  });
}

Symbol JsonGrammar::Object() {
  return Once(object_, [&](RuleId rule) {
    Sequence member = {String()};
    AppendColon(member);
    member.push_back(Value());
    const Symbol members = List(builder_.Concatenation(std::move(member)), 1, kUnbounded);
    builder_.Add(rule, Enclosed('{', members, true, '}'));
  });
}

Symbol JsonGrammar::Array() {
  return Once(array_, [&](RuleId rule) {
    builder_.Add(rule, Enclosed('[', List(Value(), 1, kUnbounded), true, ']'));
  });
}

Symbol JsonGrammar::Value() {
  return Once(value_, [&](RuleId rule) {
    builder_.Add(rule, {Object()});
    builder_.Add(rule, {Array()});
    builder_.Add(rule, {String()});
    builder_.Add(rule, {Number()});
    for (const std::string_view text : {"true", "false", "null"}) {
      Sequence parts;
      builder_.AppendText(parts, text);
      builder_.Add(rule, std::move(parts));
    }
  });
}

void JsonGrammar::AppendComma(Sequence& sequence) {
  sequence.push_back(builder_.Byte(','));
  sequence.push_back(Space());
}

void JsonGrammar::AppendColon(Sequence& sequence) {
  sequence.push_back(builder_.Byte(':'));
  sequence.push_back(builder_.Repeat(builder_.Byte(' '), 0, 1));
}

void JsonGrammar::AppendKey(Sequence& sequence, std::string_view key) {
  builder_.AppendText(sequence, '"' + JsonSpelling(key) + '"');
  AppendColon(sequence);
}

void JsonGrammar::AppendValue(Sequence& sequence, const JsonTree& tree, NodeId id) {
  const JsonNode& node = tree[id];
  if (node.kind != NodeKind::kArray && node.kind != NodeKind::kObject) {
    builder_.AppendText(sequence, ScalarText(node));
    return;
  }
  const bool is_object = node.kind == NodeKind::kObject;
  sequence.push_back(builder_.Byte(is_object ? '{' : '['));
  sequence.push_back(Space());
  for (uint32_t i = 0; i < node.n_children && sequence.size() < kMaxSequence; ++i) {
    if (i > 0) AppendComma(sequence);
    if (is_object) AppendKey(sequence, tree[node.first_child + i].key);
    AppendValue(sequence, tree, node.first_child + i);
  }
  if (node.n_children > 0) sequence.push_back(Space());
  sequence.push_back(builder_.Byte(is_object ? '}' : ']'));
}

Sequence JsonGrammar::Enclosed(char open, std::optional<Symbol> contents, bool may_be_empty,
                               char close) {
  Sequence sequence = {builder_.Byte(open), Space()};
  if (contents && may_be_empty) {
    sequence.push_back(Optional({*contents, Space()}));
  } else if (contents) {
    sequence.push_back(*contents);
    sequence.push_back(Space());
  }
  sequence.push_back(builder_.Byte(close));
  return sequence;
}

Symbol JsonGrammar::List(Symbol item, uint32_t min, uint32_t max) {
  Sequence more;
  AppendComma(more);
  more.push_back(item);
  const uint32_t least = std::max<uint32_t>(min, 1);
  const Symbol others = builder_.Repeat(builder_.Concatenation(std::move(more)), least - 1,
                                        max == kUnbounded ? max : max - 1);
  return builder_.Concatenation({item, others});
}

}  // namespace plimsoll::grammar
