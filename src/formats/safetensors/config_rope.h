// Rotary embedding in config.json: its base, the rotated part of a head, and how it is stretched.
#pragma once

#include "formats/safetensors/config_keys.h"

namespace plimsoll::formats::safetensors {

// Newer files keep the rotation's keys in an object, which may have one for each kind of layers
// ("full_attention"). Unset where there is none.
[[nodiscard]] std::optional<JsonObject> RopeOf(ConfigKeys& keys, std::string_view kind);

// Writes the keys rope.*, and the divisors of frequencies where those are a tensor of GGUF's.
void CopyRope(ConfigKeys& keys);

}  // namespace plimsoll::formats::safetensors
