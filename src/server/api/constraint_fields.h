// What a request says that its answer has to be, in each dialect's words.
#pragma once

#include <optional>

#include "server/api/json/fields.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

// OpenAI's response_format: {"type": "text"}, {"type": "json_object"}, or {"type": "json_schema",
// "json_schema": {"name", "schema", "strict"}}. Also llama-server's {"type": "json_object",
// "schema": {...}}. `strict` changes nothing: a schema is always kept to.
[[nodiscard]] std::optional<Constraint> ReadResponseFormat(const Field& field);

// The same written flat: {"type": "json_schema", "name", "schema", "strict"}, of the Responses and
// Anthropic's dialects.
[[nodiscard]] std::optional<Constraint> ReadFlatFormat(const Field& field);

// Ollama's: "json" or a schema; "" is nothing.
[[nodiscard]] std::optional<Constraint> ReadOllamaFormat(const Field& field);

// llama-server's `grammar` and `json_schema`, vLLM's `structured_outputs` and, as it was named
// before, guided_json, guided_regex, guided_grammar and guided_choice.
[[nodiscard]] std::optional<Constraint> ReadConstraintMembers(Fields& fields);

// The one there is; an error about the whole when there are two.
[[nodiscard]] std::optional<Constraint> OnlyOne(std::optional<Constraint> first,
                                                std::optional<Constraint> second,
                                                const Fields& fields);

}  // namespace plimsoll::server::api
