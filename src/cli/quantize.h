// `plimsoll quantize`: a model in another weight type.
#pragma once

#include <string>

#include "cli/command.h"
#include "engine/quantize_model.h"

namespace plimsoll::cli {

Result<> QuantizeCommand(std::vector<std::string> args, const CommandContext& context);

// "blk.*.ffn_down.weight=Q8_0"
[[nodiscard]] Result<engine::TypeOverride> ParseTypeOverride(const std::string& text);

// A line for each tensor, and what it comes to.
[[nodiscard]] std::string QuantizeText(const engine::QuantizedModel& model,
                                       const std::string& output, double seconds);
// One object, and a newline.
[[nodiscard]] std::string QuantizeJson(const engine::QuantizedModel& model,
                                       const std::string& output, double seconds);

}  // namespace plimsoll::cli
