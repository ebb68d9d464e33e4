// plimsoll batch: a file of requests answered into a file of answers.
#pragma once

#include <string>

#include "cli/command.h"
#include "server/batch/run_batch.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> BatchCommand(std::vector<std::string> args, const CommandContext& context);

// "answered 120 of 2,000 (3 refused), 1.5 a second, 21 min left"; `seconds` since this run began to
// answer.
[[nodiscard]] std::string BatchProgressText(const server::batch::BatchProgress& progress,
                                            double seconds);

}  // namespace plimsoll::cli
