// What an answer has to be: --grammar, --json-schema and their files.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "cli/command_line.h"
#include "engine/engine.h"
#include "sampling/token_filter.h"
#include "server/api/answer_grammars.h"

namespace plimsoll::cli {

struct FormFlags {
  std::optional<std::string> grammar;
  std::optional<std::string> grammar_file;
  std::optional<std::string> json_schema;
  std::optional<std::string> json_schema_file;
};

void AddFormOptions(CommandLine& line, FormFlags& flags);

// Nothing when none is given. kUsage when several are, or when it cannot be followed, with the
// place in it; kIo for a file that cannot be read. What it accepts no answer alone makes too large.
[[nodiscard]] Result<std::optional<server::api::Constraint>> ReadForm(const FormFlags& flags);

// Makes the filters of an engine's answers. For one thread at a time.
class AnswerFilters {
 public:
  // `is_raw`: answers go on with a text; else they are of a conversation, and may reason before, as
  // the server's do. `engine` outlives it.
  AnswerFilters(std::optional<server::api::Constraint> form, const engine::Engine& engine,
                bool is_raw);

  // For one answer behind this prompt; null when it may be anything.
  [[nodiscard]] Result<std::shared_ptr<sampling::TokenFilter>> Make(
      std::string_view prompt, std::span<const TokenId> tokens);

 private:
  [[nodiscard]] std::optional<server::api::output::AnswerForm> FormBehind(
      std::string_view prompt) const;

  const std::optional<server::api::Constraint> form_;
  const engine::Engine& engine_;
  const bool is_raw_;
  server::api::AnswerGrammars grammars_;
};

}  // namespace plimsoll::cli
