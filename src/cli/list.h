// plimsoll list: which models are there to be named by -m.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "formats/store/found_model.h"
#include "formats/store/places.h"

namespace plimsoll::cli {

[[nodiscard]] Result<> ListCommand(std::vector<std::string> args, const CommandContext& context);

// For people: a line for each model, what is wrong with it behind it, the aliases, and where was
// looked when there is nothing.
[[nodiscard]] std::string ListText(const formats::store::Findings& findings,
                                   const formats::store::Places& places);

// For programs: {"schema_version": 1, "models": [{"name", "source", "bytes", "type", "path",
// "problem"}], "aliases": [{"name", "target"}], "places": [{"source", "path", "state", "reason",
// "models"}]}; type, problem and reason are null when there is none.
[[nodiscard]] std::string ListJson(const formats::store::Findings& findings,
                                   const formats::store::Places& places);

}  // namespace plimsoll::cli
