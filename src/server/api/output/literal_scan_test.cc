#include "server/api/output/literal_scan.h"

#include <string>

#include <gtest/gtest.h>

namespace plimsoll::server::api::output {
namespace {

using State = JsonSpan::State;

TEST(ScanLiteral, GivesJson) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"'a'", R"("a")"},
      {R"("it's")", R"("it's")"},
      {R"('say "x"\n')", R"("say \"x\"\n")"},
      {R"('\u00e9\x41\ud83d\ude00\d')", "\"éA😀\\\\d\""},
      {"<|\"|>a \"b\" \\n {<|\"|>", R"("a \"b\" \\n {")"},
      {"-1.5e3 ", "-1.5e3"},
      {"True)", "true"},
      {"None,", "null"},
      {"false}", "false"},
      {"[1, 'a', [True,],]", R"([1,"a",[true]])"},
      {"[]", "[]"},
      {"{'a': 1, \"b\": None}", R"({"a":1,"b":null})"},
      {"{a:<|\"|>x<|\"|>,b-c:[1,{d:true}]}", R"({"a":"x","b-c":[1,{"d":true}]})"},
  };
  for (const auto& [text, json] : cases) {
    const Literal literal = ScanLiteral(text, 0);
    EXPECT_EQ(literal.state, State::kDone) << text;
    EXPECT_EQ(literal.json, json) << text;
    EXPECT_TRUE(IsJson(literal.json, false)) << text;
  }
}

// Of what is whole every beginning is open, and none is bad.
TEST(ScanLiteral, WaitsForTheRest) {
  for (const std::string_view text :
       {R"({'a': [1.5e3, "\ud83d\ude00", None], b: <|"|>x<|"|>, 'c': 'it\'s'})"}) {
    ASSERT_EQ(ScanLiteral(text, 0).state, State::kDone);
    for (size_t n = 0; n < text.size(); ++n) {
      EXPECT_EQ(ScanLiteral(text.substr(0, n), 0).state, State::kOpen) << text.substr(0, n);
    }
  }
}

TEST(ScanLiteral, RefusesWhatIsNone) {
  for (const std::string_view text :
       {"x ", "truely ", "[1 2]", "{'a' 1}", "{1.: }", "('a')", R"('\uZZZZ')", R"('\udc00')",
        R"('\ud83dxx')", "<|'|>", "- ", "{,}"}) {
    EXPECT_EQ(ScanLiteral(text, 0).state, State::kBad) << text;
  }
  EXPECT_EQ(ScanLiteral(std::string(200, '['), 0).state, State::kBad);
}

}  // namespace
}  // namespace plimsoll::server::api::output
