#include "text/utf8.h"

#include <algorithm>

namespace plimsoll::text {
namespace {

// What a first byte demands of the character it begins.
struct Lead {
  uint32_t length = 0;  // 0: no character begins with this byte
  unsigned char second_min = 0x80;
  unsigned char second_max = 0xBF;
};

Lead LeadOf(unsigned char first) {
  if (first < 0x80) return {1};
  if (first < 0xC2) return {};
  if (first < 0xE0) return {2};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first < 0xF0) return {3};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first < 0xF4) return {4};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {};
}

// The number of leading bytes of `text` that fit `lead`, at most its length.
uint32_t FittingBytes(std::string_view text, const Lead& lead) {
  uint32_t n = 1;
  while (n < lead.length && n < text.size()) {
    const auto byte = static_cast<unsigned char>(text[n]);
    const unsigned char low = n == 1 ? lead.second_min : 0x80;
    const unsigned char high = n == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) {
      break;
    }
    ++n;
  }
  return n;
}

}  // namespace

DecodedChar DecodeMultibyte(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  const Lead lead = LeadOf(first);
  if (lead.length == 0 || FittingBytes(text, lead) < lead.length) {
    return {kReplacementCharacter, 1, false};
  }
  if (lead.length == 1) {
    return {first, 1, true};
  }
  uint32_t code_point = first & (0x7Fu >> lead.length);
  for (uint32_t i = 1; i < lead.length; ++i) {
    code_point = code_point << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  }
  return {code_point, lead.length, true};
}

void AppendUtf8(uint32_t code_point, std::string& out) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const DecodedChar c = DecodeChar(text);
    if (!c.valid) {
      return false;
    }
    text.remove_prefix(c.length);
  }
  return true;
}

size_t IncompleteSuffix(std::string_view text) {
  const size_t longest = std::min<size_t>(3, text.size());
  for (size_t n = 1; n <= longest; ++n) {
    const std::string_view tail = text.substr(text.size() - n);
    const Lead lead = LeadOf(static_cast<unsigned char>(tail[0]));
    if (lead.length > n && FittingBytes(tail, lead) == n) {
      return n;
    }
  }
  return 0;
}

}  // namespace plimsoll::text
