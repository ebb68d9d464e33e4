#include "text/jinja/value.h"

#include <gtest/gtest.h>

namespace plimsoll::text::jinja {
namespace {

TEST(JinjaValue, BuildsFromCpp) {
  const std::string text = "hi";
  const Value context = Value::Object({
      {"messages", Value::List({Value::Object({{"role", "user"}, {"content", text}})})},
      {"add_generation_prompt", true},
      {"n", 7},
      {"x", 0.5},
      {"tools", nullptr},
  });
  EXPECT_EQ(context.Get("messages").list()[0].Get("content").string(), "hi");
  EXPECT_TRUE(context.Get("add_generation_prompt").boolean());
  EXPECT_EQ(context.Get("n").kind(), Kind::kInt);
  EXPECT_EQ(context.Get("x").number(), 0.5);
  EXPECT_EQ(context.Get("tools").kind(), Kind::kNone);
  EXPECT_EQ(context.Get("absent").kind(), Kind::kUndefined);
  EXPECT_EQ(context.depth(), 3U);
}

TEST(JinjaValue, JsonKeepsOrderAndNumberKinds) {
  const auto parsed = ParseJson(R"({"z": 1, "a": 1.0, "m": [true, null, "\u00e9"], "z": 2})");
  ASSERT_TRUE(parsed);
  const auto& members = parsed->dict().members();
  ASSERT_EQ(members.size(), 3U);
  EXPECT_EQ(members[0].first, "z");
  EXPECT_EQ(*members[0].second.exact_integer(), 2);
  EXPECT_EQ(members[1].second.kind(), Kind::kDouble);
  EXPECT_EQ(members[2].second.list()[2].string(), "\xc3\xa9");
}

TEST(JinjaValue, JsonIntegersBeyondSixtyFourBitsSigned) {
  const auto parsed = ParseJson("[9223372036854775807, 18446744073709551615]");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed->list()[0].exact_integer(), INT64_MAX);
  EXPECT_EQ(parsed->list()[1].kind(), Kind::kInt);
  EXPECT_EQ(parsed->list()[1].exact_integer(), nullptr);
  EXPECT_EQ(parsed->list()[1].number(), 18446744073709551616.0);
}

TEST(JinjaValue, JsonErrors) {
  for (const std::string& bad : {std::string(), std::string("{"), std::string("[1,]"),
                                 std::string("nope"), std::string(100'000, '[')}) {
    const auto parsed = ParseJson(bad);
    ASSERT_FALSE(parsed) << bad.substr(0, 10);
    EXPECT_EQ(parsed.error().kind, ErrorKind::kFailed);
  }
}

TEST(JinjaValue, BigDictsFindEveryKey) {
  std::vector<Member> members;
  for (int i = 0; i < 1000; ++i) members.emplace_back("k" + std::to_string(i * 7 % 1000), i);
  members.emplace_back("k0", "last");
  const Value dict = Value::Object(std::move(members));
  ASSERT_EQ(dict.dict().size(), 1000U);
  for (int i = 1; i < 1000; ++i) {
    EXPECT_EQ(*dict.Get("k" + std::to_string(i * 7 % 1000)).exact_integer(), i);
  }
  EXPECT_EQ(dict.Get("k0").string(), "last");
  EXPECT_EQ(dict.Get("k").kind(), Kind::kUndefined);
}

}  // namespace
}  // namespace plimsoll::text::jinja
