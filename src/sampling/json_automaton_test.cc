#include "sampling/json_automaton.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace plimsoll::sampling {
namespace {

enum class Verdict { kWhole, kOpen, kRefused };

Verdict Feed(std::string_view text) {
  JsonAutomaton automaton;
  for (const char byte : text) {
    if (!automaton.Take(byte)) {
      return Verdict::kRefused;
    }
  }
  return automaton.done() ? Verdict::kWhole : Verdict::kOpen;
}

TEST(JsonAutomaton, TakesObjectsAndAllTheirBeginnings) {
  for (const std::string text : {
           R"({})",
           R"( { } )",
           R"({"a":1})",
           R"({"a":-0.5e+10,"b":[1,2.0,3E5,0],"c":{"d":null}})",
           R"({"":"","\"\\\/\b\f\n\r\t\u00e9":[[],{},[{}]]})",
           R"({"a":true , "b" : false})",
           "{\"caf\xc3\xa9\":\"\xe6\x97\xa5\xf0\x9f\x98\x80\"}",
       }) {
    const std::string object = text.substr(0, text.find_last_of('}') + 1);
    EXPECT_EQ(Feed(object), Verdict::kWhole) << object;
    for (size_t n = 0; n < object.size(); ++n) {
      EXPECT_EQ(Feed(object.substr(0, n)), Verdict::kOpen) << object.substr(0, n);
    }
    EXPECT_EQ(Feed(object + "{"), Verdict::kRefused);
  }
}

TEST(JsonAutomaton, RefusesEverythingElse) {
  for (const std::string text : {
           R"([])",
           R"("a")",
           R"(1)",
           R"({,})",
           R"({"a"})",
           R"({"a",)",
           R"({"a":})",
           R"({"a":1,})",
           R"({"a":[1,]})",
           R"({"a":01})",
           R"({"a":1.})",
           R"({"a":.5})",
           R"({"a":+1})",
           R"({"a":1e})",
           R"({"a":-})",
           R"({"a":tru})",
           R"({"a":nulL})",
           R"({"a":"\x"})",
           R"({"a":"\u12g4"})",
           "{\"a\":\"\n\"}",
           R"({'a':1})",
           R"({"a":[1}})",
           R"({"a":{]})",
           "{\"\xc3\x28\":1}",
           "{\"\xed\xa0\x80\":1}",
           "{\"\xc0\xaf\":1}",
           "{\"\xf5\x80\x80\x80\":1}",
       }) {
    EXPECT_EQ(Feed(text), Verdict::kRefused) << text;
  }
}

TEST(JsonAutomaton, HasAnEnd) {
  EXPECT_EQ(Feed("{" + std::string(JsonAutomaton::kMaxSpaces, ' ') + "}"), Verdict::kWhole);
  EXPECT_EQ(Feed("{" + std::string(JsonAutomaton::kMaxSpaces + 1, ' ')), Verdict::kRefused);
  std::string deep;
  for (size_t i = 0; i < JsonAutomaton::kMaxDepth; ++i) {
    deep += "{\"a\":";
  }
  EXPECT_EQ(Feed(deep), Verdict::kOpen);
  EXPECT_EQ(Feed(deep + "{"), Verdict::kRefused);
}

}  // namespace
}  // namespace plimsoll::sampling
