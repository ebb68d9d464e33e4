#include "text/model.h"

#include <algorithm>
#include <iterator>

namespace plimsoll::text {
namespace {

std::optional<uint8_t> HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<uint8_t>(c - 'A' + 10);
  if (c >= 'a' && c <= 'f') return static_cast<uint8_t>(c - 'a' + 10);
  return std::nullopt;
}

}  // namespace

std::optional<uint8_t> ParseByteToken(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || !spelling.ends_with('>')) {
    return std::nullopt;
  }
  const auto high = HexDigit(spelling[3]);
  const auto low = HexDigit(spelling[4]);
  if (!high || !low) {
    return std::nullopt;
  }
  return static_cast<uint8_t>(*high << 4 | *low);
}

std::optional<MergeParts> ParseMerge(std::string_view merge) {
  // A part is never empty, so a space in front belongs to the first.
  const size_t space = merge.find(' ', 1);
  if (space == std::string_view::npos || space + 1 == merge.size()) {
    return std::nullopt;
  }
  return MergeParts{merge.substr(0, space), merge.substr(space + 1)};
}

std::string WithSpaceMarks(std::string_view text, bool prefix) {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2);
  if (prefix) {
    marked.append(kSpaceMark);
  }
  for (const char c : text) {
    if (c == ' ') {
      marked.append(kSpaceMark);
    } else {
      marked.push_back(c);
    }
  }
  return marked;
}

ByteTokens::ByteTokens(const VocabularySpec& spec) : unknown_(spec.unk) {
  constexpr TokenId kMissing = -1;
  tokens_.fill(kMissing);
  // A vocabulary may also spell a byte as itself; the byte token proper goes first.
  for (const bool proper : {true, false}) {
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      const std::string& spelling = spec.tokens[id];
      std::optional<uint8_t> byte;
      if (proper && spec.types[id] == TokenType::kByte) {
        byte = ParseByteToken(spelling);
      } else if (!proper && spelling.size() == 1 && IsTextType(spec.types[id])) {
        byte = static_cast<uint8_t>(spelling[0]);
      }
      if (byte && tokens_[*byte] == kMissing) {
        tokens_[*byte] = static_cast<TokenId>(id);
        ++n_;
      }
    }
  }
}

void ByteTokens::Append(std::string_view bytes, std::vector<TokenId>& out) const {
  const auto token = [this](char byte) { return tokens_[static_cast<uint8_t>(byte)]; };
  if (std::all_of(bytes.begin(), bytes.end(), [&](char byte) { return token(byte) >= 0; })) {
    std::transform(bytes.begin(), bytes.end(), std::back_inserter(out), token);
  } else if (unknown_) {
    out.push_back(*unknown_);
  }
}

}  // namespace plimsoll::text
