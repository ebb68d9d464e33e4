#include "text/word_patterns.h"

#include "text/scanner.h"

namespace plimsoll::text {
namespace {

// The alternatives that several patterns share. Each returns the end of its match at `pos`, or
// `pos` when it does not match.

// Unicode's simple case folding has one more character for these letters: U+017F folds to s.
char FoldedLetter(const ScannedChar& c) {
  if (c.length == 0) {
    return '\0';
  }
  if (c.code_point >= 'A' && c.code_point <= 'Z') {
    return static_cast<char>(c.code_point - 'A' + 'a');
  }
  if (c.code_point == 0x17F) {
    return 's';
  }
  return c.code_point < 0x80 ? static_cast<char>(c.code_point) : '\0';
}

// 's|'t|'re|'ve|'m|'ll|'d, in either case when `fold`.
size_t Contraction(const Scanner& s, size_t pos, bool fold) {
  if (pos >= s.text().size() || s.text()[pos] != '\'') {
    return pos;
  }
  const auto letter = [&](const ScannedChar& c) {
    return fold || (c.code_point >= 'a' && c.code_point <= 'z') ? FoldedLetter(c) : '\0';
  };
  const ScannedChar first = s.At(pos + 1);
  const char a = letter(first);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') {
    return pos + 1 + first.length;
  }
  const ScannedChar second = s.At(pos + 1 + first.length);
  const char b = letter(second);
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) {
    return pos + 1 + first.length + second.length;
  }
  return pos;
}

// \p{N}{1,max}
size_t Digits(const Scanner& s, size_t pos, int max) {
  for (int i = 0; i < max; ++i) {
    const ScannedChar c = s.At(pos);
    if (!c.In(kNumbers)) {
      break;
    }
    pos += c.length;
  }
  return pos;
}

// " ?" and a run of characters outside `excluded`
size_t SpacedRunOutside(const Scanner& s, size_t pos, CategorySet excluded) {
  const size_t start = s.text()[pos] == ' ' ? pos + 1 : pos;
  const size_t end = s.RunEnd(start, ~excluded);
  return end > start ? end : pos;
}

// \s+(?!\S)|\s+: a run of spaces leaves its last one to the word that follows.
size_t Spaces(const Scanner& s, size_t pos) {
  size_t end = pos;
  size_t last = pos;
  for (ScannedChar c = s.At(end); c.In(kSpaces); c = s.At(end)) {
    last = end;
    end += c.length;
  }
  return end == s.text().size() || last == pos ? end : last;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t NewlinesOrSpaces(const Scanner& s, size_t pos) {
  size_t after_newline = pos;
  size_t end = pos;
  size_t last = pos;
  for (ScannedChar c = s.At(end); c.In(kSpaces); c = s.At(end)) {
    last = end;
    end += c.length;
    if (c.IsNewline()) {
      after_newline = end;
    }
  }
  if (after_newline > pos) {
    return after_newline;
  }
  return end == s.text().size() || last == pos ? end : last;
}

// [^\r\n...]?[...]+ with the first class given by what it excludes beside newlines.
size_t PrefixedRun(const Scanner& s, size_t pos, CategorySet prefix_excludes, CategorySet run) {
  const ScannedChar c = s.At(pos);
  if (!c.IsNewline() && c.NotIn(prefix_excludes)) {
    const size_t start = pos + c.length;
    const size_t end = s.RunEnd(start, run);
    if (end > start) {
      return end;
    }
  }
  return s.RunEnd(pos, run);
}

struct Gpt2 {
  size_t operator()(const Scanner& s, size_t pos) const {
    if (const size_t end = Contraction(s, pos, false); end > pos) {
      return end;
    }
    const size_t start = s.text()[pos] == ' ' ? pos + 1 : pos;
    const ScannedChar c = s.At(start);
    if (c.In(kLetters)) {
      return s.RunEnd(start, kLetters);
    }
    if (c.In(kNumbers)) {
      return s.RunEnd(start, kNumbers);
    }
    if (c.NotIn(kSpaces)) {
      return s.RunEnd(start, ~(kSpaces | kLetters | kNumbers));
    }
    return Spaces(s, pos);
  }
};

// Llama 3, Qwen 2 and Qwen 3.5 differ in how many digits stay together and in what a word is made
// of.
struct Llama3 {
  int max_digits;
  CategorySet word;

  size_t operator()(const Scanner& s, size_t pos) const {
    if (const size_t end = Contraction(s, pos, true); end > pos) {
      return end;
    }
    if (const size_t end = PrefixedRun(s, pos, kLetters | kNumbers, word); end > pos) {
      return end;
    }
    if (const size_t end = Digits(s, pos, max_digits); end > pos) {
      return end;
    }
    if (const size_t end = SpacedRunOutside(s, pos, kSpaces | kNumbers | word); end > pos) {
      return s.NewlineRunEnd(end);
    }
    return NewlinesOrSpaces(s, pos);
  }
};

struct Gpt4o {
  int max_digits;
  bool contractions;

  static constexpr CategorySet kBoth = SetOf(Category::kLm, Category::kLo) | kMarks;
  static constexpr CategorySet kUpper = SetOf(Category::kLu, Category::kLt) | kBoth;
  static constexpr CategorySet kLower = SetOf(Category::kLl) | kBoth;

  // [upper]*[lower]+. A run of upper that no lower-only letter follows ends at its last character
  // that is in both classes.
  static size_t LowerWord(const Scanner& s, size_t start) {
    size_t end = start;
    size_t after_both = start;
    for (ScannedChar c = s.At(end); c.In(kUpper); c = s.At(end)) {
      end += c.length;
      if (c.In(kBoth)) {
        after_both = end;
      }
    }
    const size_t lower_end = s.RunEnd(end, kLower);
    return lower_end > end ? lower_end : after_both;
  }

  // [upper]+[lower]*
  static size_t UpperWord(const Scanner& s, size_t start) {
    const size_t end = s.RunEnd(start, kUpper);
    return end > start ? s.RunEnd(end, kLower) : start;
  }

  size_t operator()(const Scanner& s, size_t pos) const {
    const ScannedChar c = s.At(pos);
    const bool prefix = !c.IsNewline() && c.NotIn(kLetters | kNumbers);
    for (const auto word : {LowerWord, UpperWord}) {
      for (const size_t start : {prefix ? pos + c.length : pos, pos}) {
        if (const size_t end = word(s, start); end > start) {
          return contractions ? Contraction(s, end, true) : end;
        }
      }
    }
    if (const size_t end = Digits(s, pos, max_digits); end > pos) {
      return end;
    }
    if (const size_t end = SpacedRunOutside(s, pos, kSpaces | kLetters | kNumbers); end > pos) {
      return s.NewlineRunEnd(end, '/');
    }
    return NewlinesOrSpaces(s, pos);
  }
};

struct DeepSeekV3 {
  static bool IsAsciiLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  static size_t AsciiWord(const Scanner& s, size_t pos) {
    const std::string_view text = s.text();
    const ScannedChar c = s.At(pos);
    size_t end = pos + 1;
    if (c.code_point >= 0x80 || !c.In(kPunctuation | kSymbols)) {
      return pos;
    }
    while (end < text.size() && IsAsciiLetter(text[end])) {
      ++end;
    }
    return end > pos + 1 ? end : pos;
  }

  size_t operator()(const Scanner& s, size_t pos) const {
    if (const size_t end = AsciiWord(s, pos); end > pos) {
      return end;
    }
    const size_t word = PrefixedRun(s, pos, kLetters | kPunctuation | kSymbols, kLetters | kMarks);
    if (word > pos) {
      return word;
    }
    const size_t start = s.text()[pos] == ' ' ? pos + 1 : pos;
    if (const size_t end = s.RunEnd(start, kPunctuation | kSymbols); end > start) {
      return s.NewlineRunEnd(end);
    }
    return NewlinesOrSpaces(s, pos);
  }
};

template <class Pattern>
class PatternSplitter final : public Splitter {
 public:
  PatternSplitter(Pattern pattern, SplitParts parts) : pattern_(pattern), parts_(parts) {}

  void Split(std::string_view text, WordSink& sink) const override {
    const Scanner scanner(text);
    SplitByMatches(
        text, parts_, [&](size_t pos) { return pattern_(scanner, pos) - pos; },
        [&](size_t pos) { return scanner.At(pos).length; }, sink);
  }

  [[nodiscard]] uint64_t Bytes() const override { return sizeof(*this); }

 private:
  Pattern pattern_;
  SplitParts parts_;
};

template <class Pattern>
std::unique_ptr<const Splitter> Make(Pattern pattern, SplitParts parts) {
  return std::make_unique<PatternSplitter<Pattern>>(pattern, parts);
}

}  // namespace

std::unique_ptr<const Splitter> KnownPatternSplitter(std::string_view pattern, SplitParts parts) {
  if (pattern == kGpt2Pattern) return Make(Gpt2{}, parts);
  if (pattern == kLlama3Pattern) return Make(Llama3{3, kLetters}, parts);
  if (pattern == kQwen2Pattern) return Make(Llama3{1, kLetters}, parts);
  if (pattern == kQwen35Pattern) return Make(Llama3{1, kLetters | kMarks}, parts);
  if (pattern == kGpt4oPattern) return Make(Gpt4o{3, true}, parts);
  if (pattern == kTekkenPattern) return Make(Gpt4o{1, false}, parts);
  if (pattern == kDeepSeekV3Pattern) return Make(DeepSeekV3{}, parts);
  return nullptr;
}

}  // namespace plimsoll::text
