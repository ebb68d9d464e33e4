#include "server/api/json/convert.h"

#include <string_view>

#include <boost/json/value.hpp>
#include <gtest/gtest.h>

#include "server/api/json/parse_body.h"
#include "text/chat_template.h"

namespace plimsoll::server::api {
namespace {

TEST(ToTemplateValue, TemplatesSeeTheSameJson) {
  constexpr std::string_view kText =
      R"({"z": [1, 1.0, -2.5, true, null], "a": {"k": "é\"", "big": 18446744073709551615}, "e": []})";
  const auto parsed = text::ChatTemplate::Parse("{{ v | tojson }}");
  ASSERT_TRUE(parsed);
  const auto rendered = (*parsed)->Render(
      text::jinja::Value::Object({{"v", ToTemplateValue(ParseBody(kText).value())}}));
  const auto expected =
      (*parsed)->Render(text::jinja::Value::Object({{"v", text::jinja::ParseJson(kText).value()}}));
  ASSERT_TRUE(rendered);
  EXPECT_EQ(*rendered, *expected);
}

TEST(ToJson, ReadsBackAsTheSameValue) {
  constexpr std::string_view kText =
      R"({"z":[1,1.0,-2.5,true,null],"a":{"k":"é\n"},"e":[],"o":{}})";
  const auto value = ParseBody(kText).value();
  EXPECT_EQ(ToJson(value), kText);
}

}  // namespace
}  // namespace plimsoll::server::api
