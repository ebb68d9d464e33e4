// plimsoll trace: what was recorded, without a model.
#pragma once

#include "cli/command.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> TraceCommand(std::vector<std::string> args, const CommandContext& context);
[[nodiscard]] Result<> TraceRecordCommand(std::vector<std::string> args,
                                          const CommandContext& context);
[[nodiscard]] Result<> TraceReplayCommand(std::vector<std::string> args,
                                          const CommandContext& context);
[[nodiscard]] Result<> TraceShowCommand(std::vector<std::string> args,
                                        const CommandContext& context);
// Of a prefix cache, not of routing.
[[nodiscard]] Result<> TraceCheckCommand(std::vector<std::string> args,
                                         const CommandContext& context);

}  // namespace plimsoll::cli
