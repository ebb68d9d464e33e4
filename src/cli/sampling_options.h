// The options that decide how tokens are drawn and when an answer ends.
#pragma once

#include <optional>
#include <string>

#include "cli/command_line.h"
#include "engine/engine.h"

namespace plimsoll::cli {

void AddGenerateOptions(CommandLine& line, engine::GenerateOptions& options);

// "ID+V", "ID-V", "ID-inf": one entry of --logit-bias.
[[nodiscard]] Result<std::pair<TokenId, float>> ParseLogitBias(std::string_view text);

}  // namespace plimsoll::cli
