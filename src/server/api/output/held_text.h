// Text that waits until it is known what it is, with the tokens that it was made from.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/api/reply.h"

namespace plimsoll::server::api::output {

class HeldText {
 public:
  void Append(std::string_view text, std::vector<TokenReport> tokens);
  // Text that no token of the answer stands for.
  void AppendPrimed(std::string_view text);

  [[nodiscard]] std::string_view text() const { return text_; }

  // Takes the first n bytes off, and the tokens that end in them.
  struct Part {
    std::string text;
    std::vector<TokenReport> tokens;
  };
  [[nodiscard]] Part Take(size_t n);
  // The tokens whose text never came.
  [[nodiscard]] std::vector<TokenReport> TakeTokens();

 private:
  struct HeldToken {
    uint64_t end = 0;  // in the answer's text
    TokenReport report;
  };
  std::string text_;
  uint64_t n_taken_ = 0;
  uint64_t tokens_end_ = 0;
  std::deque<HeldToken> tokens_;
};

// Where the first of some marks is in a text.
struct FoundMark {
  size_t at = std::string_view::npos;
  std::string_view mark;
};
[[nodiscard]] FoundMark FindFirst(std::string_view text, std::span<const std::string_view> marks);
// How many bytes at the text's end may be the beginning of a mark.
[[nodiscard]] size_t PartialMark(std::string_view text, std::span<const std::string_view> marks);
// The text's length without the white space at its end.
[[nodiscard]] size_t TrimmedSize(std::string_view text);

}  // namespace plimsoll::server::api::output
