#include "server/api/json/fields.h"

#include <string>
#include <string_view>

#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/json/parse_body.h"

namespace plimsoll::server::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A body and what was read of it.
struct Opened {
  explicit Opened(std::string_view text) : body(ParseBody(text).value()) {}
  boost::json::value body;
  Reading reading;
  Fields fields = reading.Open(body);

  [[nodiscard]] std::string message() const {
    return reading.error ? reading.error->message : "no error";
  }
  [[nodiscard]] std::string param() const { return reading.error ? reading.error->param : "-"; }
};

TEST(Fields, ReadsEachType) {
  Opened body(R"({"s":"text","b":true,"i":16,"f":16.0,"x":0.5,"n":null,"a":["p","q"],"o":{"k":7},
                  "t":[5,6.0,7]})");
  Fields& f = body.fields;
  EXPECT_EQ(f["s"].String(), "text");
  EXPECT_EQ(f["b"].Bool(), true);
  EXPECT_EQ(f["i"].Integer({1, 16}), 16);
  EXPECT_EQ(f["f"].Integer({1, 16}), 16);
  EXPECT_EQ(f["i"].Number({0, 20}), 16.0);
  EXPECT_EQ(f["x"].Number({0, 1}), 0.5);
  EXPECT_EQ(f["n"].Integer({0, 1}), std::nullopt);
  EXPECT_FALSE(f["n"].present());
  EXPECT_EQ(f["absent"].String(), std::nullopt);
  EXPECT_EQ(f["a"].Array()[1].String(), "q");
  EXPECT_EQ(f["a"].Array()[1].path(), "a[1]");
  EXPECT_THAT(f["a"].Strings({}), ElementsAre("p", "q"));
  EXPECT_THAT(f["t"].Integers({0, 10}), ElementsAre(5, 6, 7));
  EXPECT_EQ(f["o"].Object()["k"].path(), "o.k");
  EXPECT_EQ(f["o"].Json(), R"({"k":7})");
  EXPECT_EQ(f["s"].OneOf({"none", "text"}), 1U);
  EXPECT_EQ(body.message(), "no error");
}

TEST(Fields, ErrorsNamePlaceAndBothTypes) {
  const auto said = [](std::string_view text, auto read) {
    Opened body(text);
    read(body.fields);
    return body.message() + " (" + body.param() + ", " + body.reading.error->code + ")";
  };
  const std::string_view nested = R"({"messages":[{},{},{"content":5}]})";
  EXPECT_EQ(said(nested,
                 [](Fields& f) {
                   for (const Field& item : f["messages"].Array()) {
                     (void)item.Object()["content"].String();
                   }
                 }),
            "'messages[2].content' must be a string; it is a number. (messages[2].content, "
            "invalid_type)");
  EXPECT_EQ(said(R"({"n":17})",
                 [](Fields& f) {
                   (void)f["n"].Integer({1, 16});
                 }),
            "'n' must be an integer from 1 to 16. (n, invalid_value)");
  EXPECT_EQ(said(R"({"n":1.5})",
                 [](Fields& f) {
                   (void)f["n"].Integer({1, 16});
                 }),
            "'n' must be an integer from 1 to 16. (n, invalid_value)");
  EXPECT_EQ(said(R"({"n":18446744073709551615})", [](Fields& f) { (void)f["n"].Integer({}); }),
            "'n' must be an integer of 64 bits. (n, invalid_value)");
  EXPECT_EQ(said(R"({"n":"1"})",
                 [](Fields& f) {
                   (void)f["n"].Number({0, 2});
                 }),
            "'n' must be a number from 0 to 2; it is a string. (n, invalid_type)");
  EXPECT_EQ(said(R"({"n":2.5})",
                 [](Fields& f) {
                   (void)f["n"].Number({0, 2});
                 }),
            "'n' must be a number from 0 to 2. (n, invalid_value)");
  EXPECT_EQ(said(R"({"s":[]})", [](Fields& f) { (void)f["s"].Bool(); }),
            "'s' must be a boolean; it is an array. (s, invalid_type)");
  EXPECT_EQ(said(R"({"s":"x"})", [](Fields& f) { (void)f["s"].Object()["k"].String(); }),
            "'s' must be an object; it is a string. (s, invalid_type)");
  EXPECT_EQ(said(R"({"s":"xyz"})", [](Fields& f) { (void)f["s"].String({.most = 2}); }),
            "'s' may have 2 bytes at most; it has 3. (s, invalid_value)");
  EXPECT_EQ(said(R"({"s":[1,2]})", [](Fields& f) { (void)f["s"].Array({.most = 1}); }),
            "'s' may have 1 items at most; it has 2. (s, invalid_value)");
  EXPECT_EQ(said(R"({"s":[]})", [](Fields& f) { (void)f["s"].Array({.least = 1}); }),
            "'s' must have at least 1 items; it has 0. (s, invalid_value)");
  EXPECT_EQ(said(R"({"s":[1,-1]})",
                 [](Fields& f) {
                   (void)f["s"].Integers({0, 9});
                 }),
            "'s[1]' must be an integer from 0 to 9. (s[1], invalid_value)");
  EXPECT_EQ(said(R"({"s":"x"})",
                 [](Fields& f) {
                   (void)f["s"].OneOf({"a", "b"});
                 }),
            "'s' must be one of 'a', 'b'. (s, invalid_value)");
  EXPECT_EQ(said(R"({"s":"x"})", [](Fields& f) { f["s"].FailUnsupported("not yet"); }),
            "'s' is not supported: not yet. (s, unsupported_value)");
  EXPECT_EQ(said("{}", [](Fields& f) { (void)f.Required("model"); }),
            "'model' is required. (model, missing_required_parameter)");
  EXPECT_EQ(said("[1]", [](Fields&) {}),
            "The body must be a JSON object; it is an array. (, invalid_type)");
}

TEST(Fields, TheFirstErrorIsKept) {
  Opened body(R"({"a":1,"b":2})");
  (void)body.fields["b"].String();
  (void)body.fields["a"].String();
  EXPECT_EQ(body.param(), "b");
  EXPECT_FALSE(body.fields.ok());
}

TEST(Fields, UnknownMembersAreNotedByASafeName) {
  Opened body("{\"model\":\"m\",\"x_y\":1,\"bad\\nname\\u00e9\":null,\"o\":{\"k\":1,\"l\":2}}");
  (void)body.fields["model"].String();
  Fields inner = body.fields["o"].Object();
  (void)inner["k"];
  inner.NoteUnknown();
  body.fields.NoteUnknown();
  EXPECT_THAT(body.reading.unknown, ElementsAre("o.l", "x_y", "bad?name??"));

  std::string many = "{\"k0\":0";
  for (int i = 1; i < 100; ++i) many += ",\"k" + std::to_string(i) + "\":0";
  Opened crowd(many + "}");
  crowd.fields.NoteUnknown();
  EXPECT_EQ(crowd.reading.unknown.size(), 16U);
  Opened asked(many + "}");
  EXPECT_EQ(asked.fields.Members().size(), 100U);
  asked.fields.NoteUnknown();
  EXPECT_THAT(asked.reading.unknown, IsEmpty());
}

}  // namespace
}  // namespace plimsoll::server::api
