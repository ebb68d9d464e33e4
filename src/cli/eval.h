// plimsoll eval logits|perplexity|imatrix|recall|suite: what a model says, in figures.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> EvalCommand(std::vector<std::string> args, const CommandContext& context);

[[nodiscard]] Result<> EvalLogitsCommand(std::vector<std::string> args,
                                         const CommandContext& context);
[[nodiscard]] Result<> EvalPerplexityCommand(std::vector<std::string> args,
                                             const CommandContext& context);
[[nodiscard]] Result<> EvalImatrixCommand(std::vector<std::string> args,
                                          const CommandContext& context);
[[nodiscard]] Result<> EvalRecallCommand(std::vector<std::string> args,
                                         const CommandContext& context);
[[nodiscard]] Result<> EvalSuiteCommand(std::vector<std::string> args,
                                        const CommandContext& context);

// Token ids separated by commas or white space.
[[nodiscard]] Result<std::vector<TokenId>> ParseIds(std::string_view text);

}  // namespace plimsoll::cli
