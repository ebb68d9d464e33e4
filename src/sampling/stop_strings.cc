#include "sampling/stop_strings.h"

#include <algorithm>
#include <utility>

namespace plimsoll::sampling {
namespace {

std::vector<size_t> Borders(const std::string& text) {
  std::vector<size_t> borders(text.size(), 0);
  size_t length = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    while (length > 0 && text[i] != text[length]) {
      length = borders[length - 1];
    }
    if (text[i] == text[length]) {
      ++length;
    }
    borders[i] = length;
  }
  return borders;
}

}  // namespace

StopStrings::StopStrings(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (!stop.empty()) {
      patterns_.push_back({stop, Borders(stop), 0});
    }
  }
}

void StopStrings::Advance(Pattern& pattern, char byte) {
  // A full match stops the stream, so n_matched < text.size() here.
  while (pattern.n_matched > 0 && pattern.text[pattern.n_matched] != byte) {
    pattern.n_matched = pattern.fallback[pattern.n_matched - 1];
  }
  if (pattern.text[pattern.n_matched] == byte) {
    ++pattern.n_matched;
  }
}

std::string StopStrings::Add(std::string_view text) {
  if (stopped_) {
    return {};
  }
  for (const char byte : text) {
    held_.push_back(byte);
    size_t stop_length = 0;
    for (Pattern& pattern : patterns_) {
      Advance(pattern, byte);
      if (pattern.n_matched == pattern.text.size()) {
        stop_length = std::max(stop_length, pattern.text.size());
      }
    }
    if (stop_length > 0) {
      stopped_ = true;
      met_ = held_.substr(held_.size() - stop_length);
      held_.resize(held_.size() - stop_length);
      return std::exchange(held_, {});
    }
  }
  size_t n_held = 0;
  for (const Pattern& pattern : patterns_) {
    n_held = std::max(n_held, pattern.n_matched);
  }
  std::string out = held_.substr(0, held_.size() - n_held);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::Flush() { return std::exchange(held_, {}); }

}  // namespace plimsoll::sampling
