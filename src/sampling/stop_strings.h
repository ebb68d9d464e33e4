// Ends generated text before the first stop string, while it streams.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::sampling {

// Text goes in as it is generated; what comes out is the text that can no longer become part of a
// stop string, so nothing of one is ever passed on. The stop string that is complete first wins, of
// those that are complete at the same byte the longest. How the text is cut into calls changes only
// when it comes out, not what. Empty stop strings are ignored.
//
// Cuts fall on UTF-8 character boundaries when the text of each call and the stop strings are valid
// UTF-8.
class StopStrings {
 public:
  explicit StopStrings(const std::vector<std::string>& stops);

  // Nothing comes out any more once stopped().
  [[nodiscard]] std::string Add(std::string_view text);
  // What is held back when the generation ends for another reason.
  [[nodiscard]] std::string Flush();

  [[nodiscard]] bool stopped() const { return stopped_; }
  // The stop string that was met; empty before.
  [[nodiscard]] const std::string& met() const { return met_; }

 private:
  // One stop string as a Knuth-Morris-Pratt automaton; its state is how many of its bytes the text
  // ends with.
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;  // [i]: longest proper border of the first i + 1 bytes
    size_t n_matched = 0;
  };
  static void Advance(Pattern& pattern, char byte);

  std::vector<Pattern> patterns_;
  std::string held_;
  std::string met_;
  bool stopped_ = false;
};

}  // namespace plimsoll::sampling
