#include "grammar/speller.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace plimsoll::grammar {
namespace {

// The letter behind the backslash, for what has a short escape; 0 otherwise.
char ShortEscape(char byte) {
  switch (byte) {
    case '"':
    case '\\':
      return byte;
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

}  // namespace

std::string JsonSpelling(std::string_view text) {
  std::string spelled;
  spelled.reserve(text.size());
  for (const char byte : text) {
    if (const char letter = ShortEscape(byte)) {
      spelled += '\\';
      spelled += letter;
    } else if (static_cast<uint8_t>(byte) < 0x20) {
      spelled += fmt::format("\\u{:04x}", static_cast<uint8_t>(byte));
    } else {
      spelled += byte;
    }
  }
  return spelled;
}

void Speller::Append(Sequence& sequence, std::string_view text) {
  if (form_ == Form::kJsonString) {
    builder_.AppendText(sequence, JsonSpelling(text));
  } else {
    builder_.AppendText(sequence, text);
  }
}

Symbol Speller::OneOf(const CodePoints& set) {
  const auto known = made_.find(set);
  if (known != made_.end()) {
    return known->second;
  }
  const Symbol symbol = Make(set);
  made_.emplace(set, symbol);
  return symbol;
}

// Takes what JSON escapes out of `plain`.
void Speller::AddEscapes(const CodePoints& set, ByteSet& plain, std::vector<Sequence>& ways) {
  ByteSet letters;
  std::array<ByteSet, 2> last_digits;  // of \u000x and \u001x
  for (unsigned byte = 0; byte < 0x80; ++byte) {
    const char letter = ShortEscape(static_cast<char>(byte));
    if (!set.Contains(byte) || (letter == 0 && byte >= 0x20)) {
      continue;
    }
    plain.reset(byte);
    if (letter != 0) {
      letters.set(static_cast<uint8_t>(letter));
    } else {
      last_digits[byte >> 4].set(static_cast<uint8_t>("0123456789abcdef"[byte & 0xF]));
    }
  }
  if (letters.any()) {
    ways.push_back({builder_.Byte('\\'), builder_.Bytes(letters)});
  }
  for (size_t high = 0; high < last_digits.size(); ++high) {
    if (last_digits[high].any()) {
      Sequence way;
      builder_.AppendText(way, high == 0 ? "\\u000" : "\\u001");
      way.push_back(builder_.Bytes(last_digits[high]));
      ways.push_back(std::move(way));
    }
  }
}

Symbol Speller::Make(const CodePoints& set) {
  ByteSet plain;
  std::vector<Sequence> ways;
  for (unsigned byte = 0; byte < 0x80; ++byte) {
    plain.set(byte, set.Contains(byte));
  }
  if (form_ == Form::kJsonString) {
    AddEscapes(set, plain, ways);
  }
  if (plain.any()) {
    ways.insert(ways.begin(), {builder_.Bytes(plain)});
  }
  for (const CodePointRange& range : set.ranges()) {
    const char32_t first = std::max<char32_t>(range.first, 0x80);
    if (first > range.last || builder_.is_full()) continue;
    const CodePointRange part{first, range.last};
    const auto [place, is_new] = made_ranges_.try_emplace(part);
    if (is_new) place->second = builder_.Characters(part.first, part.last);
    ways.push_back({place->second});
  }
  return builder_.Alternatives(std::move(ways));
}

}  // namespace plimsoll::grammar
