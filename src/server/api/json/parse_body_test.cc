#include "server/api/json/parse_body.h"

#include <string>
#include <string_view>

#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/json/convert.h"

namespace plimsoll::server::api {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string Parsed(std::string_view text) {
  const auto value = ParseBody(text);
  return value ? ToJson(*value) : "error: " + value.error().message;
}

std::string Nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(ParseBody, AcceptsWhatRfc8259Allows) {
  EXPECT_EQ(Parsed(" {\"a\" : [1 , -2.5e3,true,false,null, \"\\u00e9\\ud83d\\ude00\"]}\n"),
            "{\"a\":[1,-2500.0,true,false,null,\"\xC3\xA9\xF0\x9F\x98\x80\"]}");
  EXPECT_EQ(Parsed(R"({"a":1,"a":2})"), R"({"a":2})");
  EXPECT_EQ(Parsed("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(Parsed("18446744073709551616"), "1.8446744073709552e+19");
  EXPECT_EQ(Parsed("-0"), "0");
  EXPECT_EQ(Parsed("\"\\u0000\""), "\"\\u0000\"");
}

TEST(ParseBody, NumbersAreTheNearestDouble) {
  EXPECT_EQ(Parsed("[0.3,0.7,1.1,123456.789e-3,2.2250738585072014e-308,1e-400,-5e-324]"),
            "[0.3,0.7,1.1,123.456789,2.2250738585072014e-308,0.0,-5e-324]");
}

TEST(ParseBody, RefusesWhatIsNoJson) {
  const std::string_view cases[] = {"",
                                    "  ",
                                    "{",
                                    "[1,]",
                                    "{\"a\":1,}",
                                    "[1 2]",
                                    "{\"a\" 1}",
                                    "{a:1}",
                                    "'a'",
                                    "01",
                                    "1.",
                                    ".5",
                                    "+1",
                                    "0x10",
                                    "NaN",
                                    "Infinity",
                                    "-",
                                    "1e",
                                    "tru",
                                    "nulll",
                                    "[1]]",
                                    "{} {}",
                                    "// x\n1",
                                    "[1]/*x*/",
                                    "\"\n\"",
                                    "\"\\x\"",
                                    "\"\\u12\"",
                                    "\"\\ud800\"",
                                    "\"\\udc00\"",
                                    "\"\\ud800\\u0041\"",
                                    "\"\xff\"",
                                    "\"\xc0\xaf\"",
                                    "\"\xed\xa0\x80\"",
                                    "\"\xf4\x90\x80\x80\"",
                                    "\"\xe2\x82\"",
                                    "\xef\xbb\xbf{}",
                                    "[\"a\xe2\x82",
                                    "1e400",
                                    "-1e999999999999",
                                    "\"abc",
                                    "[\"\t\"]"};
  for (const std::string_view text : cases) {
    const auto value = ParseBody(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().status, 400U) << text;
    EXPECT_EQ(value.error().code, "invalid_json");
    EXPECT_THAT(value.error().message, HasSubstr("at byte "));
  }
  EXPECT_EQ(Parsed(std::string_view("{}\0", 3)),
            "error: The body cannot be read as JSON: something follows the value, at byte 2.");
}

TEST(ParseBody, SaysWhereAndNotWhat) {
  const auto value = ParseBody(R"({"secret": "hush", "b": hush})");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message,
            "The body cannot be read as JSON: a character is not allowed there, at byte 24.");
  EXPECT_THAT(ParseBody("[\"\xc3\x28\"]").error().message,
              HasSubstr("a byte is not part of UTF-8 text in a string, at byte 2."));
  EXPECT_THAT(ParseBody("{\"hush").error().message,
              AllOf(HasSubstr("the text ends before the value does"), Not(HasSubstr("hush"))));
}

TEST(ParseBody, DepthHasALimitAndSchemasADeeperOne) {
  EXPECT_TRUE(ParseBody(Nested(64)));
  const auto deep = ParseBody(Nested(65));
  ASSERT_FALSE(deep);
  EXPECT_THAT(deep.error().message, HasSubstr("nested deeper than 64 levels, at byte 64"));

  EXPECT_TRUE(ParseBody("{\"tools\":" + Nested(127) + "}"));
  EXPECT_FALSE(ParseBody("{\"tools\":" + Nested(128) + "}"));
  EXPECT_FALSE(ParseBody("{\"tools\":1,\"messages\":" + Nested(64) + "}"));
  EXPECT_TRUE(ParseBody("{\"tools\":1,\"messages\":" + Nested(63) + "}"));
  // Neither the stack nor the time grows with what is beyond the limit.
  EXPECT_FALSE(ParseBody(std::string(1'000'000, '[')));
  std::string objects;
  for (int i = 0; i < 200'000; ++i) objects += "{\"tools\":";
  EXPECT_FALSE(ParseBody(objects));
}

TEST(ParseBody, CountsHaveLimits) {
  const JsonLimits limits{.n_array_items = 3, .n_object_members = 2, .n_values = 7};
  EXPECT_TRUE(ParseBody("[1,2,3]", limits));
  EXPECT_THAT(ParseBody("[1,2,3,4]", limits).error().message,
              HasSubstr("an array has more than 3 items"));
  EXPECT_TRUE(ParseBody(R"({"a":1,"b":2})", limits));
  EXPECT_THAT(ParseBody(R"({"a":1,"b":2,"c":3})", limits).error().message,
              HasSubstr("an object has more than 2 members"));
  EXPECT_TRUE(ParseBody("[[1,2],[],[3]]", limits));
  EXPECT_THAT(ParseBody("[[1,2],[],[3,4]]", limits).error().message,
              HasSubstr("more than 7 values"));
}

}  // namespace
}  // namespace plimsoll::server::api
