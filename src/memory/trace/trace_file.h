// Traces on disk. docs/formats.md, "Routing traces", has the binary format.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "memory/trace/trace.h"

namespace plimsoll::memory::trace {

// The whole of a file in any of the formats that are read: our own, route_trace v1, colibri's
// ROUTE_TRACE. kIo when it cannot be read, kFailed when it is none of them or damaged.
[[nodiscard]] Result<Trace> ReadTrace(const std::filesystem::path& path);
// The same for its bytes; `name` is for messages.
[[nodiscard]] Result<Trace> ParseTrace(std::string_view bytes, std::string_view name);

}  // namespace plimsoll::memory::trace
