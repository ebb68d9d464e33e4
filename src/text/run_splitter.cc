#include "text/run_splitter.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "text/char_set.h"

namespace plimsoll::text {
namespace {

constexpr uint32_t kUnlimited = std::numeric_limits<uint32_t>::max();
// A run that must be longer fails at each of its positions only after so many characters.
constexpr uint32_t kLongestMinimum = 16;

struct RunPattern {
  std::optional<CharSet> optional_first;
  std::optional<CharSet> set;
  uint32_t min = 1;
  uint32_t max = 1;

  // The end of `min` to `max` characters of the set from `pos`, or nullopt when there are fewer.
  [[nodiscard]] std::optional<size_t> Run(const Scanner& s, size_t pos) const {
    uint32_t n = 0;
    for (ScannedChar c = s.At(pos); n < max && set->Contains(c); c = s.At(pos)) {
      pos += c.length;
      ++n;
    }
    return n >= min ? std::optional(pos) : std::nullopt;
  }

  [[nodiscard]] size_t MatchEnd(const Scanner& s, size_t pos) const {
    if (optional_first) {
      const ScannedChar c = s.At(pos);
      if (optional_first->Contains(c)) {
        if (const auto end = Run(s, pos + c.length)) {
          return *end;
        }
      }
    }
    return Run(s, pos).value_or(pos);
  }
};

// {n}, {n,} or {n,m} at the front of `pattern`.
bool TakeBounds(std::string_view& pattern, RunPattern& run) {
  const size_t close = pattern.find('}');
  if (close == std::string_view::npos) {
    return false;
  }
  const char* const end = pattern.data() + close;
  auto [next, error] = std::from_chars(pattern.data() + 1, end, run.min);
  if (error != std::errc()) {
    return false;
  }
  run.max = run.min;
  if (next != end) {
    if (*next++ != ',') {
      return false;
    }
    run.max = kUnlimited;
    if (next != end) {
      const auto upper = std::from_chars(next, end, run.max);
      if (upper.ec != std::errc() || upper.ptr != end) {
        return false;
      }
    }
  }
  pattern.remove_prefix(close + 1);
  return run.min >= 1 && run.min <= kLongestMinimum && run.max >= run.min;
}

std::optional<RunPattern> ParseRunPattern(std::string_view pattern) {
  RunPattern run;
  auto set = CharSet::Parse(pattern);
  if (set && pattern.starts_with('?')) {
    run.optional_first = std::move(set);
    pattern.remove_prefix(1);
    set = CharSet::Parse(pattern);
  }
  if (!set) {
    return std::nullopt;
  }
  run.set = std::move(set);
  if (pattern == "+") {
    run.max = kUnlimited;
    return run;
  }
  if (pattern.starts_with('{')) {
    return TakeBounds(pattern, run) && pattern.empty() ? std::optional(std::move(run))
                                                       : std::nullopt;
  }
  while (!pattern.empty()) {
    const auto again = CharSet::Parse(pattern);
    if (again != run.set || ++run.min > kLongestMinimum) {
      return std::nullopt;
    }
    run.max = run.min;
  }
  return run;
}

class RunSplitter final : public Splitter {
 public:
  RunSplitter(RunPattern run, SplitParts parts) : run_(std::move(run)), parts_(parts) {}

  void Split(std::string_view text, WordSink& sink) const override {
    const Scanner scanner(text);
    SplitByMatches(
        text, parts_, [&](size_t pos) { return run_.MatchEnd(scanner, pos) - pos; },
        [&](size_t pos) { return scanner.At(pos).length; }, sink);
  }

  [[nodiscard]] uint64_t Bytes() const override {
    return sizeof(*this) + run_.set->Bytes() +
           (run_.optional_first ? run_.optional_first->Bytes() : 0);
  }

 private:
  RunPattern run_;
  SplitParts parts_;
};

// \s+$ where $ is the end of a line, as in Oniguruma: of each run of spaces, what stands before its
// last newline, or all of it at the end of the text.
class LineEndSpaceSplitter final : public Splitter {
 public:
  explicit LineEndSpaceSplitter(SplitParts parts) : parts_(parts) {}

  void Split(std::string_view text, WordSink& sink) const override {
    const Scanner scanner(text);
    SplitByMatches(
        text, parts_, [&](size_t pos) { return MatchEnd(scanner, pos) - pos; },
        [&](size_t pos) {
          // Past the whole run: no later start in it matches either.
          return std::max<size_t>(scanner.RunEnd(pos, kSpaces) - pos, scanner.At(pos).length);
        },
        sink);
  }

  [[nodiscard]] uint64_t Bytes() const override { return sizeof(*this); }

 private:
  static size_t MatchEnd(const Scanner& s, size_t pos) {
    const size_t end = s.RunEnd(pos, kSpaces);
    if (end == s.text().size()) {
      return end;
    }
    const size_t newline = s.text().substr(pos, end - pos).rfind('\n');
    return newline == std::string_view::npos ? pos : pos + newline;
  }

  SplitParts parts_;
};

}  // namespace

std::unique_ptr<const Splitter> RunPatternSplitter(std::string_view pattern, SplitParts parts) {
  if (pattern == "\\s+$") {
    return std::make_unique<LineEndSpaceSplitter>(parts);
  }
  auto run = ParseRunPattern(pattern);
  if (!run) {
    return nullptr;
  }
  return std::make_unique<RunSplitter>(std::move(*run), parts);
}

}  // namespace plimsoll::text
