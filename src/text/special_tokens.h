// Tokens that are found by their spelling before anything else looks at the text.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>

#include "text/trie.h"
#include "text/vocabulary.h"

namespace plimsoll::text {

// Immutable and thread-safe.
class SpecialTokens {
 public:
  explicit SpecialTokens(const VocabularySpec& spec);

  // Calls `on_text(part)` for each stretch between special tokens, none of them empty, and
  // `on_token(id)` for each token, in order: the leftmost token, and the longest of those that
  // start there. User-defined tokens count always, control and unknown tokens only with
  // `parse_special`. Time is linear in the text, times the longest spelling at worst.
  template <class OnText, class OnToken>
  void Partition(std::string_view text, bool parse_special, const OnText& on_text,
                 const OnToken& on_token) const {
    const Trie& trie = parse_special ? all_ : user_defined_;
    size_t text_begin = 0;
    size_t pos = 0;
    while (pos < text.size()) {
      const auto match = trie.Starts(text[pos]) ? trie.Longest(text.substr(pos)) : std::nullopt;
      if (!match) {
        ++pos;
        continue;
      }
      const std::string_view before = text.substr(text_begin, pos - text_begin);
      if (const auto part =
              strips_left_.contains(match->token) ? WithoutTrailingSpace(before) : before;
          !part.empty()) {
        on_text(part);
      }
      on_token(match->token);
      pos += match->length;
      if (strips_right_.contains(match->token)) {
        pos += LeadingSpace(text.substr(pos));
      }
      text_begin = pos;
    }
    if (text_begin < text.size()) {
      on_text(text.substr(text_begin));
    }
  }

  // The text with `mark` behind the first character of every spelling of a control or unknown
  // token, so that none is found any more. (One of a single character stays.)
  [[nodiscard]] std::string Break(std::string_view text, std::string_view mark) const;

  [[nodiscard]] uint64_t Bytes() const;

 private:
  static std::string_view WithoutTrailingSpace(std::string_view text);
  static size_t LeadingSpace(std::string_view text);

  Trie user_defined_;
  Trie control_;  // and unknown ones
  Trie all_;
  std::unordered_set<TokenId> strips_left_;
  std::unordered_set<TokenId> strips_right_;
};

}  // namespace plimsoll::text
