#include "grammar/grammar_builder.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::grammar {
namespace {

std::string Utf8(char32_t code) {
  const auto tail = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | (code >> 6)), tail(code)};
  if (code < 0x10000) {
    return {static_cast<char>(0xE0 | (code >> 12)), tail(code >> 6), tail(code)};
  }
  return {static_cast<char>(0xF0 | (code >> 18)), tail(code >> 12), tail(code >> 6), tail(code)};
}

// Inside one of these all characters have the same number of bytes, and no surrogate is among them.
struct Span {
  char32_t first;
  char32_t last;
};
constexpr std::array<Span, 5> kSpans = {
    {{0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}}};

ByteSet RangeOf(char first, char last) {
  ByteSet set;
  for (unsigned byte = static_cast<uint8_t>(first); byte <= static_cast<uint8_t>(last); ++byte) {
    set.set(byte);
  }
  return set;
}

}  // namespace

RuleId GrammarBuilder::Declare() {
  ++n_symbols_;
  grammar_.rules.emplace_back();
  return static_cast<RuleId>(grammar_.rules.size() - 1);
}

void GrammarBuilder::Add(RuleId rule, Sequence alternative) {
  n_symbols_ += alternative.size() + 1;
  if (!is_full()) {
    grammar_.rules[rule].alternatives.push_back(std::move(alternative));
  }
}

Symbol GrammarBuilder::Bytes(const ByteSet& set) {
  const auto [place, is_new] =
      set_index_.try_emplace(set, static_cast<uint32_t>(grammar_.byte_sets.size()));
  if (is_new) {
    grammar_.byte_sets.push_back(set);
  }
  return {.kind = Symbol::Kind::kBytes, .index = place->second};
}

Symbol GrammarBuilder::Byte(char byte) { return Bytes(RangeOf(byte, byte)); }

// `first` and `last` have the same length: the bytes between them, place by place.
Symbol GrammarBuilder::Utf8Range(std::string_view first, std::string_view last) {
  if (first.size() == 1) {
    return Bytes(RangeOf(first[0], last[0]));
  }
  const std::string lowest(first.size() - 1, '\x80');
  const std::string highest(first.size() - 1, '\xBF');
  const std::string_view first_tail = first.substr(1);
  const std::string_view last_tail = last.substr(1);
  if (first[0] == last[0]) {
    return Concatenation({Byte(first[0]), Utf8Range(first_tail, last_tail)});
  }
  std::vector<Sequence> parts;
  auto begin = first[0];
  auto end = last[0];
  if (first_tail != lowest) {
    parts.push_back({Byte(begin++), Utf8Range(first_tail, highest)});
  }
  const bool ends_early = last_tail != highest;
  if (ends_early) {
    parts.push_back({Byte(end--), Utf8Range(lowest, last_tail)});
  }
  if (static_cast<uint8_t>(begin) <= static_cast<uint8_t>(end)) {
    parts.push_back({Bytes(RangeOf(begin, end)), Utf8Range(lowest, highest)});
  }
  return Alternatives(std::move(parts));
}

Symbol GrammarBuilder::Characters(char32_t first, char32_t last) {
  std::vector<Sequence> parts;
  for (const Span& span : kSpans) {
    const char32_t from = std::max(first, span.first);
    const char32_t to = std::min(last, span.last);
    if (from <= to) {
      parts.push_back({Utf8Range(Utf8(from), Utf8(to))});
    }
  }
  return Alternatives(std::move(parts));
}

Symbol GrammarBuilder::Concatenation(Sequence parts) {
  if (parts.size() == 1) {
    return parts.front();
  }
  const RuleId rule = Declare();
  Add(rule, std::move(parts));
  return Reference(rule);
}

Symbol GrammarBuilder::Alternatives(std::vector<Sequence> alternatives) {
  if (alternatives.size() == 1) {
    return Concatenation(std::move(alternatives.front()));
  }
  const RuleId rule = Declare();
  for (Sequence& alternative : alternatives) {
    Add(rule, std::move(alternative));
  }
  return Reference(rule);
}

Symbol GrammarBuilder::Repeat(Symbol symbol, uint32_t min, uint32_t max) {
  Invariant(min <= max, "a repetition's bounds are in order");
  if (max == 0) {
    return Concatenation({});
  }
  if (symbol.min != 1 || symbol.max != 1) {  // (a{2}){3}: the inner count has a rule of its own
    const RuleId rule = Declare();
    Add(rule, {symbol});
    symbol = Reference(rule);
  }
  symbol.min = min;
  symbol.max = max;
  return symbol;
}

void GrammarBuilder::AppendText(Sequence& sequence, std::string_view text) {
  for (const char byte : text) {
    sequence.push_back(Byte(byte));
  }
}

Grammar GrammarBuilder::Finish(RuleId root) {
  grammar_.root = root;
  return std::move(grammar_);
}

}  // namespace plimsoll::grammar
