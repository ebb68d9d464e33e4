#include "text/byte_alphabet.h"

#include <array>

#include "text/utf8.h"

namespace plimsoll::text {
namespace {

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<uint32_t, 256> MakeAlphabet() {
  std::array<uint32_t, 256> alphabet{};
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    alphabet[byte] = StandsForItself(byte) ? byte : next++;
  }
  return alphabet;
}

constexpr std::array<uint32_t, 256> kAlphabet = MakeAlphabet();

// Not a byte: -1.
constexpr std::array<int16_t, 0x144> MakeInverse() {
  std::array<int16_t, 0x144> inverse{};
  inverse.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) {
    inverse[kAlphabet[byte]] = static_cast<int16_t>(byte);
  }
  return inverse;
}

constexpr std::array<int16_t, 0x144> kInverse = MakeInverse();

}  // namespace

std::string SpellByte(uint8_t byte) {
  std::string spelling;
  AppendUtf8(kAlphabet[byte], spelling);
  return spelling;
}

std::optional<std::string> UnspellBytes(std::string_view spelling) {
  std::string bytes;
  while (!spelling.empty()) {
    const DecodedChar c = DecodeChar(spelling);
    if (!c.valid || c.code_point >= kInverse.size() || kInverse[c.code_point] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(kInverse[c.code_point]));
    spelling.remove_prefix(c.length);
  }
  return bytes;
}

}  // namespace plimsoll::text
