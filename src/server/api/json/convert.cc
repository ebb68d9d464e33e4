#include "server/api/json/convert.h"

#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "base/json_text.h"

namespace plimsoll::server::api {
namespace {

namespace json = boost::json;

std::string_view View(json::string_view text) { return {text.data(), text.size()}; }

void WriteValue(const json::value& value, JsonText& out) {
  switch (value.kind()) {
    case json::kind::null:
      out.Null();
      break;
    case json::kind::bool_:
      out.Bool(value.get_bool());
      break;
    case json::kind::int64:
      out.Number(value.get_int64());
      break;
    case json::kind::uint64:
      out.Number(value.get_uint64());
      break;
    case json::kind::double_: {
      const double number = value.get_double();
      const std::string digits = fmt::format("{}", number);
      const bool integral = digits.find_first_of(".e") == std::string::npos;
      out.Raw(integral ? digits + ".0" : digits);
      break;
    }
    case json::kind::string:
      out.String(View(value.get_string()));
      break;
    case json::kind::array:
      out.BeginArray();
      for (const json::value& item : value.get_array()) WriteValue(item, out);
      out.EndArray();
      break;
    case json::kind::object:
      out.BeginObject();
      for (const json::key_value_pair& pair : value.get_object()) {
        out.Key(View(pair.key()));
        WriteValue(pair.value(), out);
      }
      out.EndObject();
      break;
  }
}

}  // namespace

text::jinja::Value ToTemplateValue(const json::value& value) {
  using text::jinja::Value;
  switch (value.kind()) {
    case json::kind::null:
      return nullptr;
    case json::kind::bool_:
      return value.get_bool();
    case json::kind::int64:
      return value.get_int64();
    case json::kind::uint64:
      return value.get_uint64();
    case json::kind::double_:
      return value.get_double();
    case json::kind::string:
      return View(value.get_string());
    case json::kind::array: {
      std::vector<Value> items;
      items.reserve(value.get_array().size());
      for (const json::value& item : value.get_array()) items.push_back(ToTemplateValue(item));
      return Value::List(std::move(items));
    }
    case json::kind::object: {
      std::vector<text::jinja::Member> members;
      members.reserve(value.get_object().size());
      for (const json::key_value_pair& pair : value.get_object()) {
        members.emplace_back(View(pair.key()), ToTemplateValue(pair.value()));
      }
      return Value::Object(std::move(members));
    }
  }
  return {};
}

std::string ToJson(const json::value& value) {
  JsonText out;
  WriteValue(value, out);
  return out.text();
}

}  // namespace plimsoll::server::api
