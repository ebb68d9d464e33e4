#include "base/json_text.h"

#include <cstdlib>
#include <limits>

#include <gtest/gtest.h>

#include "base/utf8.h"

namespace plimsoll {
namespace {

TEST(JsonText, NestsAndSeparates) {
  JsonText json;
  json.BeginObject().Key("a").BeginArray().Number(1).Number(2.5).BeginArray().EndArray();
  json.Bool(true).Null().EndArray().Key("b").BeginObject().EndObject().Key("c").String("x");
  json.EndObject();
  EXPECT_EQ(json.text(), R"({"a":[1,2.5,[],true,null],"b":{},"c":"x"})");
}

TEST(JsonText, RawTextTakesItsPlaceAsAValue) {
  JsonText json;
  json.BeginArray().Number(1).Raw(R"({"a":[]})").Number(2).EndArray();
  EXPECT_EQ(json.text(), R"([1,{"a":[]},2])");
}

TEST(JsonText, EscapesWhatJsonCannotHold) {
  JsonText json;
  using namespace std::string_view_literals;
  json.String("q\" b\\ n\n t\t r\r \x01 \x7F nul\0 é日"sv);
  EXPECT_EQ(json.text(), R"("q\" b\\ n\n t\t r\r \u0001 \u007f nul\u0000 é日")");
}

TEST(JsonText, BrokenUtf8BecomesReplacementCharacters) {
  JsonText json;
  json.String("a\xC3 b\xED\xA0\x80");
  EXPECT_EQ(json.text(), "\"a\xEF\xBF\xBD b\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonText, NumbersReadBackAsTheSameBits) {
  for (const float value : {0.1F, -1.17549435e-38F, 3.40282347e+38F, 1e-45F, 16777217.0F}) {
    JsonText json;
    json.Number(value);
    EXPECT_EQ(std::strtof(json.text().c_str(), nullptr), value) << json.text();
  }
  JsonText json;
  json.BeginArray().Number(std::numeric_limits<double>::quiet_NaN());
  json.Number(-std::numeric_limits<float>::infinity()).Number(uint64_t{18446744073709551615ULL});
  json.EndArray();
  EXPECT_EQ(json.text(), "[null,null,18446744073709551615]");
}

TEST(Utf8Length, AcceptsExactlyTheValidForms) {
  EXPECT_EQ(Utf8Length("a"), 1U);
  EXPECT_EQ(Utf8Length("é"), 2U);
  EXPECT_EQ(Utf8Length("日本"), 3U);
  EXPECT_EQ(Utf8Length("😀x"), 4U);
  EXPECT_EQ(Utf8Length("\xF4\x8F\xBF\xBF"), 4U);
  for (const char* bad :
       {"", "\x80", "\xC0\x80", "\xC3", "\xC3(", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE6\x97"}) {
    EXPECT_EQ(Utf8Length(bad), 0U) << bad;
  }
}

}  // namespace
}  // namespace plimsoll
