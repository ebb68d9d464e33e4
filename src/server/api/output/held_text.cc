#include "server/api/output/held_text.h"

#include <algorithm>

namespace plimsoll::server::api::output {

void HeldText::Append(std::string_view text, std::vector<TokenReport> tokens) {
  text_ += text;
  for (TokenReport& report : tokens) {
    tokens_end_ += report.token.text.size();
    tokens_.push_back({tokens_end_, std::move(report)});
  }
}

void HeldText::AppendPrimed(std::string_view text) {
  text_ += text;
  tokens_end_ += text.size();
}

HeldText::Part HeldText::Take(size_t n) {
  Part part = {.text = text_.substr(0, n), .tokens = {}};
  text_.erase(0, n);
  n_taken_ += n;
  while (!tokens_.empty() && tokens_.front().end <= n_taken_) {
    part.tokens.push_back(std::move(tokens_.front().report));
    tokens_.pop_front();
  }
  return part;
}

std::vector<TokenReport> HeldText::TakeTokens() {
  std::vector<TokenReport> tokens;
  for (HeldToken& token : tokens_) tokens.push_back(std::move(token.report));
  tokens_.clear();
  return tokens;
}

FoundMark FindFirst(std::string_view text, std::span<const std::string_view> marks) {
  FoundMark found;
  for (const std::string_view mark : marks) {
    const size_t at = text.find(mark);
    if (at < found.at) found = {at, mark};
  }
  return found;
}

size_t PartialMark(std::string_view text, std::span<const std::string_view> marks) {
  size_t held = 0;
  for (const std::string_view mark : marks) {
    for (size_t n = std::min(text.size(), mark.size() - 1); n > held; --n) {
      if (text.ends_with(mark.substr(0, n))) held = n;
    }
  }
  return held;
}

size_t TrimmedSize(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace plimsoll::server::api::output
