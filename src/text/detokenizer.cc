#include "text/detokenizer.h"

#include <utility>

#include "text/utf8.h"

namespace plimsoll::text {

std::string Detokenizer::Add(TokenId token) {
  held_.append(tokenizer_.PieceInText(token, render_control_, at_start_));
  const size_t complete = held_.size() - IncompleteSuffix(held_);
  std::string text = held_.substr(0, complete);
  held_.erase(0, complete);
  return text;
}

std::string Detokenizer::Flush() { return std::exchange(held_, {}); }

}  // namespace plimsoll::text
