// What a model may say behind a prompt, as one grammar: its reasoning, its calls, its answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar.h"
#include "server/api/api_error.h"
#include "server/api/output/output_format.h"
#include "server/api/task.h"

namespace plimsoll::server::api::output {

// A tool as a grammar sees it.
struct CallForm {
  std::string name;
  std::string schema;   // of its arguments, JSON
  bool strict = false;  // else a schema that cannot be followed is taken for any object's
  std::string param;    // in the request
};

struct AnswerForm {
  OutputFormat format;
  // What the prompt ends with, and the grammar's text begins with.
  std::string said;
  bool in_reasoning = false;  // the prompt ends within it
  bool may_reason = false;    // the answer may begin with it
  // What is not reasoning is a call, or the answer itself where that is allowed.
  std::vector<CallForm> calls;
  bool calls_only = false;
  bool name_is_said = false;  // of the only call, and what stands between it and the arguments
  bool many_calls = false;
  std::optional<Constraint> content;  // nothing: any text without calls' marks
  // Spellings of the vocabulary's control tokens, where the format shows them.
  std::vector<std::string> control;
};

// What an answer to this conversation is held to; nothing: it may be anything. Calls are held to
// their tools' schemas where one is forced, and where a tool is strict. With the tools of formats
// that do not write arguments as JSON (kQwenXml, kGlm) they are not.
[[nodiscard]] std::optional<AnswerForm> FindAnswerForm(const OutputFormat& format,
                                                       const Conversation& conversation,
                                                       const std::optional<Constraint>& content,
                                                       std::string_view prompt);
// Of a text that is not split into parts.
[[nodiscard]] AnswerForm PlainForm(const Constraint& content);

// Equal for forms with equal grammars.
[[nodiscard]] std::string KeyOf(const AnswerForm& form);

// 400 with what is wrong or not supported in a schema or an expression, 422 for one that is beyond
// the limits; its place in the request is `param`.
[[nodiscard]] ApiResult<grammar::Grammar> MakeAnswerGrammar(const AnswerForm& form);

}  // namespace plimsoll::server::api::output
