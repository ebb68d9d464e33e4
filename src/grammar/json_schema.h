// JSON schemas as grammars of the values that they allow.
#pragma once

#include <string_view>

#include "base/result.h"
#include "grammar/grammar.h"
#include "grammar/grammar_builder.h"

namespace plimsoll::grammar {

// `schema`: JSON Schema, draft 2020-12, or an older draft's where the two agree. Whatever the
// grammar says is valid; it need not say all that is: members come in the order in which
// `properties` has them, members that the schema does not describe only where additionalProperties
// asks for them, and white space is bounded. docs/constrained-output.md has each keyword.
//
// kUsage where it is no schema or asks for what is not supported: the message has the JSON pointer
// of the keyword, whose last part is its name. kDoesNotFit where a limit is passed: of text
// (JsonTree::kMaxBytes), nesting, symbols or CPU time.
[[nodiscard]] Result<Grammar> CompileJsonSchema(std::string_view schema,
                                                const GrammarLimits& limits = {});

// The same as part of a larger grammar. A schema that nothing satisfies gives a symbol that cannot
// be said.
[[nodiscard]] Result<Symbol> AddJsonSchema(GrammarBuilder& builder, std::string_view schema,
                                           const GrammarLimits& limits = {});

// Any JSON object.
[[nodiscard]] Result<Grammar> CompileJsonObject();
[[nodiscard]] Symbol AddJsonObject(GrammarBuilder& builder);

}  // namespace plimsoll::grammar
