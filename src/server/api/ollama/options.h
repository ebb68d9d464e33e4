// `options`, `keep_alive` and the other members that Ollama's requests have in common.
#pragma once

#include <cstdint>
#include <optional>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api::ollama {

// Reads `options` into the task; what of them asks for a context is returned.
[[nodiscard]] std::optional<uint32_t> ReadOptions(Fields& fields, Task& task);

// In seconds; negative: forever. A number, or a duration as Go writes it: "1h30m", "300ms", "-1".
[[nodiscard]] std::optional<double> ReadKeepAlive(const Field& field);

// Refuses a member with an empty value allowed.
void RefuseUnlessEmpty(const Field& field, std::string_view why);

}  // namespace plimsoll::server::api::ollama
