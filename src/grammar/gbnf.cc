#include "grammar/gbnf.h"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grammar/code_points.h"
#include "grammar/grammar_builder.h"
#include "grammar/pattern_reader.h"
#include "grammar/speller.h"
#include "text/utf8.h"

namespace plimsoll::grammar {
namespace {

bool IsNameByte(char byte) {
  const char lower = static_cast<char>(byte | 0x20);
  return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' ||
         byte == '_';
}

class GbnfParser {
 public:
  GbnfParser(std::string_view text, const GrammarLimits& limits)
      : in_(text, "the grammar"),
        limits_(limits),
        builder_(limits),
        speller_(builder_, Speller::Form::kPlain) {}

  Result<Grammar> Parse() {
    SkipSpace(true);
    while (!in_.IsAtEnd()) {
      auto rule = ReadRule();
      if (builder_.is_full()) return TooLarge();
      if (!rule) return tl::unexpected(rule.error());
      SkipSpace(true);
    }
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined) {
        return in_.BadAt(rule.byte, "there is no rule '{}'", name);
      }
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) return Fail(ErrorKind::kUsage, "the grammar has no rule 'root'");
    return builder_.Finish(root->second.id);
  }

 private:
  struct NamedRule {
    RuleId id;
    uint32_t byte;  // where it is named first
    bool is_defined = false;
  };

  [[nodiscard]] tl::unexpected<Error> TooLarge() const {
    return Fail(ErrorKind::kDoesNotFit, "the grammar needs more than {} symbols",
                limits_.max_symbols);
  }

  // Blanks and comments; the ends of lines too where `lines`.
  void SkipSpace(bool lines) {
    while (!in_.IsAtEnd()) {
      const char byte = in_.Peek();
      if (byte == '#') {
        while (!in_.IsAtEnd() && in_.Peek() != '\n' && in_.Peek() != '\r') in_.Take();
      } else if (byte == ' ' || byte == '\t' || (lines && (byte == '\n' || byte == '\r'))) {
        in_.Take();
      } else {
        return;
      }
    }
  }

  std::string_view ReadName() {
    const std::string_view rest = in_.rest();
    size_t length = 0;
    while (length < rest.size() && IsNameByte(rest[length])) ++length;
    for (size_t i = 0; i < length; ++i) in_.Take();
    return rest.substr(0, length);
  }

  NamedRule& RuleOf(std::string_view name, uint32_t byte) {
    const auto [place, is_new] = rules_.try_emplace(std::string(name), NamedRule{0, byte});
    if (is_new) place->second.id = builder_.Declare();
    return place->second;
  }

  Result<> ReadRule() {
    const uint32_t byte = in_.byte();
    const std::string_view name = ReadName();
    if (name.empty()) return in_.Bad("a rule's name is wanted here");
    SkipSpace(false);
    if (!in_.rest().starts_with("::=")) return in_.Bad("`::=` is wanted here");
    for (int i = 0; i < 3; ++i) in_.Take();
    NamedRule& rule = RuleOf(name, byte);
    if (rule.is_defined) return in_.BadAt(byte, "rule '{}' is there twice", name);
    rule.is_defined = true;
    const RuleId id = rule.id;
    SkipSpace(true);
    auto alternatives = ReadAlternatives(0);
    if (!alternatives) return tl::unexpected(alternatives.error());
    for (Sequence& alternative : *alternatives) builder_.Add(id, std::move(alternative));
    if (!in_.IsAtEnd() && in_.Peek() != '\n' && in_.Peek() != '\r') {
      return in_.Bad("this does not belong into a rule");
    }
    return {};
  }

  Result<std::vector<Sequence>> ReadAlternatives(uint32_t depth) {
    std::vector<Sequence> alternatives;
    do {
      SkipSpace(!alternatives.empty() || depth > 0);
      auto sequence = ReadSequence(depth);
      if (!sequence) return tl::unexpected(sequence.error());
      alternatives.push_back(std::move(*sequence));
    } while (in_.Accept('|'));
    return alternatives;
  }

  // Up to what is no item. Outside of groups a line's end ends the rule, but for a `|` behind it.
  Result<Sequence> ReadSequence(uint32_t depth) {
    Sequence sequence;
    while (!in_.IsAtEnd() && StartsItem(in_.Peek())) {
      auto item = ReadItem(depth);
      if (!item) return tl::unexpected(item.error());
      SkipSpace(depth > 0);
      auto repeated = ReadRepetitions(*item);
      if (!repeated) return tl::unexpected(repeated.error());
      sequence.push_back(*repeated);
      SkipSpace(depth > 0);
      if (builder_.is_full()) break;
    }
    if (!in_.IsAtEnd() && (in_.Peek() == '<' || in_.Peek() == '!')) {
      return in_.Bad("tokens, such as <think> and <[1000]>, are not supported");
    }
    const PatternReader behind = in_;
    SkipSpace(true);
    if (in_.IsAtEnd() || in_.Peek() != '|') in_ = behind;
    return sequence;
  }

  static bool StartsItem(char byte) {
    return byte == '"' || byte == '[' || byte == '(' || byte == '.' || IsNameByte(byte);
  }

  Result<Symbol> ReadItem(uint32_t depth) {
    const uint32_t byte = in_.byte();
    if (in_.Accept('"')) return ReadLiteral(byte);
    if (in_.Accept('[')) return ReadClass(byte);
    if (in_.Accept('.')) return speller_.OneOf(CodePoints::All());
    if (in_.Accept('(')) return ReadGroup(depth, byte);
    const std::string_view name = ReadName();
    return GrammarBuilder::Reference(RuleOf(name, byte).id);
  }

  Result<Symbol> ReadGroup(uint32_t depth, uint32_t byte) {
    if (depth >= limits_.max_depth) {
      return Fail(ErrorKind::kDoesNotFit,
                  "at byte {} of the grammar: groups are nested deeper than {}", byte,
                  limits_.max_depth);
    }
    auto alternatives = ReadAlternatives(depth + 1);
    if (!alternatives) return tl::unexpected(alternatives.error());
    SkipSpace(true);
    if (!in_.Accept(')')) return in_.BadAt(byte, "this `(` is not closed");
    return builder_.Alternatives(std::move(*alternatives));
  }

  Result<Symbol> ReadLiteral(uint32_t byte) {
    Sequence parts;
    while (!in_.Accept('"')) {
      if (in_.IsAtEnd()) return in_.BadAt(byte, "this literal is not closed");
      auto code = ReadCharacter();
      if (!code) return tl::unexpected(code.error());
      std::string character;
      text::AppendUtf8(*code, character);
      speller_.Append(parts, character);
      if (parts.size() > limits_.max_symbols) {
        return TooLarge();
      }
    }
    return builder_.Concatenation(std::move(parts));
  }

  Result<Symbol> ReadClass(uint32_t byte) {
    const bool is_negated = in_.Accept('^');
    std::vector<CodePointRange> ranges;
    while (!in_.Accept(']')) {
      if (in_.IsAtEnd()) return in_.BadAt(byte, "this `[` is not closed");
      const auto first = ReadCharacter();
      if (!first) return tl::unexpected(first.error());
      char32_t last = *first;
      if (in_.rest().starts_with('-') && !in_.rest().starts_with("-]")) {
        in_.Accept('-');
        if (in_.IsAtEnd()) return in_.BadAt(byte, "this `[` is not closed");
        const auto end = ReadCharacter();
        if (!end) return tl::unexpected(end.error());
        last = *end;
      }
      if (last < *first) return in_.BadAt(byte, "a range whose end comes before its start");
      ranges.push_back({*first, last});
    }
    const CodePoints set(std::move(ranges));
    return speller_.OneOf(is_negated ? set.Complement() : set);
  }

  // One character of a literal or class, which must be there.
  Result<char32_t> ReadCharacter() {
    const uint32_t byte = in_.byte();
    if (!in_.Accept('\\')) return in_.Take();
    if (in_.IsAtEnd()) return in_.BadAt(byte, "nothing follows this `\\`");
    switch (const char32_t letter = in_.Take()) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return letter;
      case 'x':
        return HexCharacter(2, byte);
      case 'u':
        return HexCharacter(4, byte);
      case 'U':
        return HexCharacter(8, byte);
      default:
        return in_.BadAt(byte, "this escape is not supported");
    }
  }

  Result<char32_t> HexCharacter(size_t n_digits, uint32_t byte) {
    const auto code = in_.Hex(n_digits);
    if (!code) return in_.BadAt(byte, "{} hexadecimal digits are wanted here", n_digits);
    if (*code > kLastCodePoint || (*code >= 0xD800 && *code <= 0xDFFF)) {
      return in_.BadAt(byte, "this is no character");
    }
    return *code;
  }

  // `* + ? {m} {m,} {m,n}`, any number of them.
  Result<Symbol> ReadRepetitions(Symbol symbol) {
    while (!in_.IsAtEnd() && !builder_.is_full()) {
      const uint32_t byte = in_.byte();
      if (in_.Accept('*')) {
        symbol = builder_.Repeat(symbol, 0, kUnbounded);
      } else if (in_.Accept('+')) {
        symbol = builder_.Repeat(symbol, 1, kUnbounded);
      } else if (in_.Accept('?')) {
        symbol = builder_.Repeat(symbol, 0, 1);
      } else if (in_.Accept('{')) {
        SkipSpace(false);
        const auto min = in_.Number();
        std::optional<uint32_t> max = min;
        SkipSpace(false);
        if (min && in_.Accept(',')) {
          SkipSpace(false);
          max = in_.IsAtEnd() || in_.Peek() == '}' ? std::optional(kUnbounded) : in_.Number();
          SkipSpace(false);
        }
        if (!min || !max || *min > *max || !in_.Accept('}')) {
          return in_.BadAt(byte, "a count is {{2}}, {{2,}} or {{2,5}}");
        }
        symbol = builder_.Repeat(symbol, *min, *max);
      } else {
        return symbol;
      }
      SkipSpace(false);
    }
    return symbol;
  }

  PatternReader in_;
  GrammarLimits limits_;
  GrammarBuilder builder_;
  Speller speller_;
  std::map<std::string, NamedRule> rules_;
};

}  // namespace

Result<Grammar> CompileGbnf(std::string_view text, const GrammarLimits& limits) {
  if (!text::IsValidUtf8(text)) return Fail(ErrorKind::kUsage, "the grammar is not UTF-8");
  if (text.size() >= kUnbounded) return Fail(ErrorKind::kDoesNotFit, "the grammar is too long");
  return GbnfParser(text, limits).Parse();
}

}  // namespace plimsoll::grammar
