// `plimsoll doctor`: what the machine offers, and what to change.
#pragma once

#include <string>

#include "bench/machine_report.h"
#include "cli/command.h"

namespace plimsoll::cli {

Result<> DoctorCommand(std::vector<std::string> args, const CommandContext& context);

[[nodiscard]] std::string DoctorText(const bench::MachineReport& report);
// One object, and a newline.
[[nodiscard]] std::string DoctorJson(const bench::MachineReport& report);

}  // namespace plimsoll::cli
