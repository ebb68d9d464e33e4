#include "grammar/json_schema.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grammar/recognizer.h"

namespace plimsoll::grammar {
namespace {

TEST(JsonSchema, AnyObject) {
  const auto grammar = CompileJsonObject();
  ASSERT_TRUE(grammar.has_value());
  for (const char* text :
       {"{}", "{ }", R"({"a":1,"b": [true,null]})", "{\n  \"a\": {\n    \"b\": -1.5e+3\n  }\n}",
        R"({"\u00e9\n\ud83d\ude00": "\"\\\/"})"}) {
    EXPECT_TRUE(Says(*grammar, text)) << text;
  }
  for (const char* text :
       {"", "[]", "1", "{", R"({"a":1,})", R"({"a" :1})", R"({"a":01})", R"({"a":"\ud83d"})",
        "{\"a\":\"\n\"}", " {}", "{}\n", R"({"a":1e999})"}) {
    EXPECT_FALSE(Says(*grammar, text)) << text;
  }
}

TEST(JsonSchema, MembersInOrderAndOptionalOnesLeftOut) {
  const auto grammar = CompileJsonSchema(
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},
          "c":{"enum":["x",1,null]}},"required":["b"]})");
  ASSERT_TRUE(grammar.has_value()) << grammar.error().message;
  for (const char* text : {R"({"b":"x"})", R"({"a":1,"b":""})", R"({"b":"","c":null})",
                           R"({ "a": -20, "b": "q", "c": "x" })"}) {
    EXPECT_TRUE(Says(*grammar, text)) << text;
  }
  for (const char* text : {"{}", R"({"a":1})", R"({"b":"","a":1})", R"({"b":"","c":2})",
                           R"({"b":"",})", R"({,"b":""})", R"({"b":"","d":1})"}) {
    EXPECT_FALSE(Says(*grammar, text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::grammar
