// For tests: small grammars and vocabularies.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "grammar/grammar_builder.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

namespace plimsoll::grammar {

// Over the bytes a, b and c; anything may refer to anything.
inline Grammar RandomGrammar(uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  GrammarBuilder builder{{}};
  const uint32_t n_rules = 1 + below(5);
  for (uint32_t i = 0; i < n_rules; ++i) {
    (void)builder.Declare();
  }
  const std::pair<uint32_t, uint32_t> counts[] = {
      {1, 1}, {1, 1}, {1, 1}, {1, 1}, {0, 1}, {0, kUnbounded}, {1, kUnbounded}, {2, 3}, {0, 2}};
  for (uint32_t rule = 0; rule < n_rules; ++rule) {
    for (uint32_t n = 1 + below(3); n > 0; --n) {
      Sequence sequence;
      for (uint32_t k = below(4); k > 0; --k) {
        Symbol symbol;
        if (below(5) < 3) {
          ByteSet set;
          for (const char byte : {'a', 'b', 'c'}) {
            set.set(static_cast<uint8_t>(byte), below(2) == 0);
          }
          symbol = builder.Bytes(set);
        } else {
          symbol = GrammarBuilder::Reference(below(n_rules));
        }
        const auto& [min, max] = counts[below(std::size(counts))];
        symbol.min = min;
        symbol.max = max;
        sequence.push_back(symbol);
      }
      builder.Add(rule, std::move(sequence));
    }
  }
  return builder.Finish(0);
}

// Ids 0 to 255 are the bytes; then come the words; the last two are a control token, <mark>, and
// the one that ends a generation.
inline std::unique_ptr<const text::Tokenizer> WordTokenizer(const std::vector<std::string>& words) {
  text::VocabularySpec spec;
  spec.pre_tokenizer = "gpt-2";
  const auto add = [&](const std::string& text) {
    std::string spelled;
    for (const char byte : text) {
      spelled += text::SpellByte(static_cast<uint8_t>(byte));
    }
    spec.tokens.push_back(spelled);
    spec.types.push_back(text::TokenType::kNormal);
  };
  for (int byte = 0; byte < 256; ++byte) {
    add(std::string(1, static_cast<char>(byte)));
  }
  std::ranges::for_each(words, add);
  for (const char* control : {"<mark>", "<end>"}) {
    spec.tokens.emplace_back(control);
    spec.types.push_back(text::TokenType::kControl);
  }
  spec.eos = static_cast<TokenId>(spec.tokens.size() - 1);
  return text::Tokenizer::Create(std::move(spec)).value();
}

// {"name": "...", ...}: objects and arrays of strings, 0 and themselves, and strings of at most
// `max_length` characters of which none is above 127.
inline Grammar SmallJson(uint32_t max_length = kUnbounded) {
  GrammarBuilder builder{{}};
  const RuleId value = builder.Declare();
  ByteSet plain;
  for (size_t byte = 0x20; byte < 0x80; ++byte) {
    plain.set(byte, byte != '"' && byte != '\\');
  }
  ByteSet escaped;
  for (const char byte : {'"', '\\', 'n'}) {
    escaped.set(static_cast<uint8_t>(byte));
  }
  const Symbol character =
      builder.Alternatives({{builder.Bytes(plain)}, {builder.Byte('\\'), builder.Bytes(escaped)}});
  const Symbol string = builder.Concatenation(
      {builder.Byte('"'), builder.Repeat(character, 0, max_length), builder.Byte('"')});
  const auto list = [&](char open, const Symbol& item, char close) {
    const Symbol more = builder.Concatenation({builder.Byte(','), item});
    const Symbol items = builder.Concatenation({item, builder.Repeat(more, 0, kUnbounded)});
    return Sequence{builder.Byte(open), builder.Repeat(items, 0, 1), builder.Byte(close)};
  };
  const Symbol member =
      builder.Concatenation({string, builder.Byte(':'), GrammarBuilder::Reference(value)});
  builder.Add(value, {string});
  builder.Add(value, {builder.Byte('0')});
  builder.Add(value, list('[', GrammarBuilder::Reference(value), ']'));
  builder.Add(value, list('{', member, '}'));
  return builder.Finish(value);
}

}  // namespace plimsoll::grammar
