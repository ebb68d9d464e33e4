// A task's input as the engine takes it, and how its answer is to be read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "engine/service.h"
#include "server/api/api_error.h"
#include "server/api/output/answer_grammar.h"
#include "server/api/output/output_splitter.h"
#include "server/api/task.h"

namespace plimsoll::server::api {

struct PreparedPrompt {
  std::string text;  // of a conversation: as the template renders it, with the answer's opening
  std::vector<TokenId> tokens;
  std::string echo;  // said before the answer
};

struct PreparedTask {
  std::vector<PreparedPrompt> prompts;
  // Of a conversation: its answer is split, and begins with `opening`, which the prompt ends with.
  std::optional<output::SplitterOptions> splitting;
  std::string opening;
  // What has to follow the prompt; nothing: anything may.
  std::optional<output::AnswerForm> form;
};

// 400 for a conversation that the template refuses.
[[nodiscard]] ApiResult<PreparedTask> PrepareTask(const engine::Service& service, const Task& task);

}  // namespace plimsoll::server::api
