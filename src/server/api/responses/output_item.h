// The items of a Response's output: reasoning, message, function_call.
#pragma once

#include <string>
#include <vector>

#include "base/json_text.h"
#include "server/api/reply.h"

namespace plimsoll::server::api::responses {

struct OutputItem {
  enum class Kind { kReasoning, kMessage, kFunctionCall };
  Kind kind = Kind::kMessage;
  std::string id;
  std::string status = "in_progress";  // then "completed" or "incomplete"
  std::string text;                    // of a function call: its arguments
  std::vector<TokenReport> tokens;     // of a message
  std::string call_id;
  std::string name;
};

// The item with its text so far; `with_content` false: as it is when it is added, without its part.
void WriteOutputItem(JsonText& json, const OutputItem& item, bool with_content);
// The one part of a message or of reasoning, with the text given.
void WriteContentPart(JsonText& json, const OutputItem& item, std::string_view text,
                      const std::vector<TokenReport>& tokens);
// [{"token":...,"bytes":[...],"logprob":...,"top_logprobs":[...]}]
void WriteTokenReports(JsonText& json, const std::vector<TokenReport>& tokens);

}  // namespace plimsoll::server::api::responses
