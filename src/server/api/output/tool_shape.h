// What the arguments of a tool may be.
#pragma once

#include <string>
#include <vector>

#include "server/api/task.h"

namespace plimsoll::server::api::output {

// The outermost level of the tool's JSON schema.
struct ToolShape {
  struct Property {
    std::string name;
    std::string type;  // "string", "object", ...; "": any
    bool required = false;
  };
  std::string name;
  std::vector<Property> properties;
  // Any other properties too: of a schema without `properties`, or with `additionalProperties`.
  bool others = true;
};

[[nodiscard]] ToolShape ShapeOf(const Tool& tool);

}  // namespace plimsoll::server::api::output
