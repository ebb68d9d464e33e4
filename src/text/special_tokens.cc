#include "text/special_tokens.h"

#include "text/scanner.h"

namespace plimsoll::text {

SpecialTokens::SpecialTokens(const VocabularySpec& spec)
    : strips_left_(spec.strips_left.begin(), spec.strips_left.end()),
      strips_right_(spec.strips_right.begin(), spec.strips_right.end()) {
  std::vector<Trie::Entry> user_defined;
  std::vector<Trie::Entry> control;
  std::vector<Trie::Entry> all;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const TokenType type = spec.types[id];
    const Trie::Entry entry{spec.tokens[id], static_cast<TokenId>(id)};
    if (entry.text.empty()) {
      continue;
    }
    if (type == TokenType::kUserDefined) {
      user_defined.push_back(entry);
    }
    if (type == TokenType::kControl || type == TokenType::kUnknown) {
      control.push_back(entry);
    }
    if (type == TokenType::kUserDefined || type == TokenType::kControl ||
        type == TokenType::kUnknown) {
      all.push_back(entry);
    }
  }
  user_defined_ = Trie(std::move(user_defined));
  control_ = Trie(std::move(control));
  all_ = Trie(std::move(all));
}

// Goes on behind the first character of what it broke: another spelling may begin within.
std::string SpecialTokens::Break(std::string_view text, std::string_view mark) const {
  std::string broken;
  broken.reserve(text.size());
  for (size_t pos = 0; pos < text.size(); ++pos) {
    const bool begins = control_.Starts(text[pos]) && control_.Longest(text.substr(pos));
    broken += text[pos];
    if (!begins) {
      continue;
    }
    while (pos + 1 < text.size() && (static_cast<uint8_t>(text[pos + 1]) & 0xC0) == 0x80) {
      broken += text[++pos];
    }
    broken += mark;
  }
  return broken;
}

std::string_view SpecialTokens::WithoutTrailingSpace(std::string_view text) {
  const Scanner scanner(text);
  size_t end = text.size();
  while (end > 0) {
    // Step back over the continuation bytes of one character.
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) {
      --begin;
    }
    const ScannedChar c = scanner.At(begin);
    if (begin + c.length != end || !c.In(kSpaces)) {
      break;
    }
    end = begin;
  }
  return text.substr(0, end);
}

size_t SpecialTokens::LeadingSpace(std::string_view text) {
  return Scanner(text).RunEnd(0, kSpaces);
}

uint64_t SpecialTokens::Bytes() const {
  constexpr uint64_t kNodeBytes = 32;  // of a hash set
  return user_defined_.Bytes() + control_.Bytes() + all_.Bytes() +
         (strips_left_.size() + strips_right_.size()) * kNodeBytes;
}

}  // namespace plimsoll::text
