#include "server/api/output/value_json.h"

namespace plimsoll::server::api::output {

using text::jinja::Kind;
using text::jinja::Value;

void WriteTemplateValue(const Value& value, JsonText& json) {
  switch (value.kind()) {
    case Kind::kBool:
      json.Bool(value.boolean());
      break;
    case Kind::kInt:
      if (const int64_t* integer = value.exact_integer()) {
        json.Number(*integer);
        break;
      }
      [[fallthrough]];
    case Kind::kDouble:
      json.Number(value.number());
      break;
    case Kind::kString:
      json.String(value.string());
      break;
    case Kind::kList:
      json.BeginArray();
      for (const Value& item : value.list()) WriteTemplateValue(item, json);
      json.EndArray();
      break;
    case Kind::kDict:
      json.BeginObject();
      for (const auto& [key, member] : value.dict().members()) {
        json.Key(key);
        WriteTemplateValue(member, json);
      }
      json.EndObject();
      break;
    case Kind::kUndefined:
    case Kind::kNone:
    case Kind::kNamespace:
    case Kind::kCallable:
      json.Null();
      break;
  }
}

}  // namespace plimsoll::server::api::output
