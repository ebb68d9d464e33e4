// A line that can be moved: an engine's, or that of a server with several.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/engine.h"
#include "io/machine.h"

namespace plimsoll::engine {

struct LineTarget {
  std::function<uint64_t()> line;
  std::function<uint64_t()> reserved;                                       // of it, what is used
  std::function<uint64_t()> least;                                          // that can be set now
  std::function<uint64_t(const std::optional<SizeSpec>& memory)> line_for;  // what --memory means
  std::function<Result<>(uint64_t bytes)> set_line;                         // as Engine::SetLine
  std::function<io::MemoryFacts()> machine = [] { return io::ReadMemoryFacts(); };  // its memory
};

// The engine outlives it.
[[nodiscard]] LineTarget LineOf(Engine& engine);

}  // namespace plimsoll::engine
