#include "server/api/output/tool_shape.h"

#include <algorithm>
#include <string_view>

#include "text/jinja/value.h"

namespace plimsoll::server::api::output {
namespace {

using text::jinja::Kind;
using text::jinja::Value;

bool Lists(const Value& names, std::string_view name) {
  return names.is(Kind::kList) && std::ranges::any_of(names.list(), [&](const Value& item) {
           return item.is(Kind::kString) && item.string() == name;
         });
}

}  // namespace

ToolShape ShapeOf(const Tool& tool) {
  ToolShape shape;
  shape.name = tool.name;
  const Value schema = tool.definition.Get("function").Get("parameters");
  const Value properties = schema.Get("properties");
  if (!properties.is(Kind::kDict)) {
    return shape;
  }
  const Value additional = schema.Get("additionalProperties");
  const bool forbidden = additional.is(Kind::kBool) && !additional.boolean();
  shape.others = !additional.is(Kind::kUndefined) && !forbidden;
  for (const auto& [name, property] : properties.dict().members()) {
    const Value type = property.Get("type");
    shape.properties.push_back({.name = name,
                                .type = type.is(Kind::kString) ? type.string() : "",
                                .required = Lists(schema.Get("required"), name)});
  }
  return shape;
}

}  // namespace plimsoll::server::api::output
