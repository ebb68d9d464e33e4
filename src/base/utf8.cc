#include "base/utf8.h"

#include <cstdint>

namespace plimsoll {
namespace {

// What a lead byte promises: the length, and the range of the second byte that keeps the character
// valid.
struct Lead {
  size_t length;
  uint8_t second_min;
  uint8_t second_max;
};

Lead Classify(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};  // a continuation byte, or an overlong form
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};  // above lie the surrogates
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  if (text.empty()) {
    return 0;
  }
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const Lead lead = Classify(at(0));
  if (lead.length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < lead.length; ++i) {
    const bool second = i == 1;
    if (at(i) < (second ? lead.second_min : 0x80) || at(i) > (second ? lead.second_max : 0xBF)) {
      return 0;
    }
  }
  return lead.length;
}

}  // namespace plimsoll
