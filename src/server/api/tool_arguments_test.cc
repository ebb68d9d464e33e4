#include "server/api/tool_arguments.h"

#include <gtest/gtest.h>

namespace plimsoll::server::api {
namespace {

TEST(ToolArguments, ObjectsStayAsTheyAreButForWhiteSpace) {
  EXPECT_EQ(ArgumentsObject(R"({"city": "Paris",)"
                            "\n"
                            R"(  "days" : [1, 2.50, 1E+40, 12345678901234567890]})"),
            R"({"city":"Paris","days":[1,2.50,1E+40,12345678901234567890]})");
  EXPECT_EQ(ArgumentsObject(R"({"a": "x \" { y \\", "b c": " \n "})"),
            R"({"a":"x \" { y \\","b c":" \n "})");
}

TEST(ToolArguments, AnEmptyTextIsAnEmptyObject) {
  EXPECT_EQ(ArgumentsObject(""), "{}");
  EXPECT_EQ(ArgumentsObject(" \n"), "{}");
}

TEST(ToolArguments, WhatIsNoObjectIsKeptAsText) {
  EXPECT_EQ(ArgumentsObject(R"({"city": "Par)"), R"({"raw_arguments":"{\"city\": \"Par"})");
  EXPECT_EQ(ArgumentsObject("[1]"), R"({"raw_arguments":"[1]"})");
  EXPECT_EQ(ArgumentsObject("Paris"), R"({"raw_arguments":"Paris"})");
}

}  // namespace
}  // namespace plimsoll::server::api
