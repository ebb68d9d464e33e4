// The alphabet in which byte-level BPE vocabularies spell bytes: printable Latin-1 characters stand
// for themselves, the other 68 bytes for U+0100 and on. From Radford et al., GPT-2, 2019.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::text {

// The character, in UTF-8, that spells `byte`.
[[nodiscard]] std::string SpellByte(uint8_t byte);

// The bytes that `spelling` stands for; nullopt when it has a character outside the alphabet.
[[nodiscard]] std::optional<std::string> UnspellBytes(std::string_view spelling);

}  // namespace plimsoll::text
