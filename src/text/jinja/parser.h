// Tokens to a program.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/source.h"

namespace plimsoll::text::jinja {

// Symbols that every program has, in this order.
inline constexpr Symbol kLoopSymbol = 0;
inline constexpr Symbol kCallerSymbol = 1;
inline constexpr Symbol kNamespaceSymbol = 2;
inline constexpr Symbol kKwargsSymbol = 3;
inline constexpr Symbol kVarargsSymbol = 4;

// Levels of blocks and parentheses.
inline constexpr uint32_t kMaxNesting = 256;
// Levels of nodes: chains such as a.b.c add a level a step without nesting.
inline constexpr uint32_t kMaxNodeDepth = 768;

// Throws Stop (kBadModel) with line and column.
[[nodiscard]] Program ParseProgram(const Source& source);

// Sets takes_kwargs and takes_varargs of a kMacro or kCallBlock.
void FindSpecialParameters(Node& macro);

}  // namespace plimsoll::text::jinja
