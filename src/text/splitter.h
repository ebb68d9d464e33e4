// Cutting text into the words inside which byte-level BPE merges.
#pragma once

#include <cstdint>
#include <string_view>

namespace plimsoll::text {

class WordSink {
 public:
  virtual ~WordSink() = default;
  // `word` is a non-empty part of the text that is being split; valid during the call.
  virtual void Word(std::string_view word) = 0;
};

// Immutable and thread-safe.
class Splitter {
 public:
  virtual ~Splitter() = default;
  // Hands the parts of `text` to `sink` in order. Time is linear in the text.
  virtual void Split(std::string_view text, WordSink& sink) const = 0;
  [[nodiscard]] virtual uint64_t Bytes() const = 0;
};

// Which parts a step passes on: what its pattern matches, and what lies between the matches.
struct SplitParts {
  bool matches = true;
  bool gaps = true;
};

// The loop that every splitter shares: `match(pos)` gives the length of the match that starts at
// byte `pos`, or 0. `advance(pos)` gives the length of the character there.
template <class Match, class Advance>
void SplitByMatches(std::string_view text, SplitParts parts, const Match& match,
                    const Advance& advance, WordSink& sink) {
  size_t gap = 0;
  size_t pos = 0;
  while (pos < text.size()) {
    const size_t length = match(pos);
    if (length == 0) {
      pos += advance(pos);
      continue;
    }
    if (gap < pos && parts.gaps) {
      sink.Word(text.substr(gap, pos - gap));
    }
    if (parts.matches) {
      sink.Word(text.substr(pos, length));
    }
    pos += length;
    gap = pos;
  }
  if (gap < text.size() && parts.gaps) {
    sink.Word(text.substr(gap));
  }
}

}  // namespace plimsoll::text
