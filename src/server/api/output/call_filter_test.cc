#include "server/api/output/call_filter.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "text/byte_alphabet.h"

namespace plimsoll::server::api::output {
namespace {

using text::jinja::Value;

// Ids 0 to 255 are the bytes, 256 ends a generation.
std::unique_ptr<const text::Tokenizer> ByteTokenizer() {
  text::VocabularySpec spec;
  spec.pre_tokenizer = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(text::SpellByte(static_cast<uint8_t>(byte)));
    spec.types.push_back(text::TokenType::kNormal);
  }
  spec.tokens.emplace_back("<end>");
  spec.types.push_back(text::TokenType::kControl);
  spec.eos = 256;
  return text::Tokenizer::Create(std::move(spec)).value();
}

Tool MakeTool(const std::string& name, const std::string& schema) {
  return {
      .name = name,
      .definition = Value::Object(
          {{"type", "function"},
           {"function", Value::Object({{"name", name},
                                       {"parameters", text::jinja::ParseJson(schema).value()}})}})};
}

std::vector<Tool> SomeTools() {
  return {MakeTool("get_weather",
                   R"({"properties":{"city":{"type":"string"},"days":{"type":"integer"}},
                       "required":["city"]})"),
          MakeTool("get", R"({"properties":{}})"), MakeTool("free", R"({"type":"object"})")};
}

class CallFilterTest : public testing::Test {
 protected:
  // Where the first byte stands that is refused; nothing: all are allowed, and then the end.
  std::optional<size_t> Refused(const ToolChoice& choice, const std::string& text) {
    const auto grammar = FindCallGrammar(choice, {.tools = ToolSyntax::kHermes}, SomeTools());
    CallFilter filter(*tokenizer_, *grammar, false);
    for (size_t i = 0; i < text.size(); ++i) {
      const TokenId token = static_cast<unsigned char>(text[i]);
      if (!filter.Allows(token)) {
        return i;
      }
      EXPECT_FALSE(filter.Allows(256)) << "it may end before its end: " << text.substr(0, i);
      filter.Accept(token);
    }
    return filter.Allows(256) ? std::nullopt : std::optional(text.size());
  }

  std::unique_ptr<const text::Tokenizer> tokenizer_ = ByteTokenizer();
  const ToolChoice weather_ = {.kind = ToolChoice::Kind::kNamed, .name = "get_weather"};
  const ToolChoice any_ = {.kind = ToolChoice::Kind::kRequired, .name = {}};
};

const std::string kEnd = "}\n</tool_call>";  // NOLINT(cert-err58-cpp): a short string

TEST_F(CallFilterTest, TakesWellFormedCalls) {
  EXPECT_EQ(Refused(weather_, R"("city": "Rome"})" + kEnd), std::nullopt);
  EXPECT_EQ(Refused(weather_, R"("days":-3,"city":"R\"\u00e9"})" + kEnd), std::nullopt);
  EXPECT_EQ(Refused(any_, R"(get", "arguments": {})" + kEnd), std::nullopt);
  EXPECT_EQ(Refused(any_, R"(get_weather", "arguments": {"city":"x"})" + kEnd), std::nullopt);
  EXPECT_EQ(Refused(any_, R"(free", "arguments": {"a":[{"b":1}],"c":null})" + kEnd), std::nullopt);
}

TEST_F(CallFilterTest, RefusesWhatTheToolDoesNotHave) {
  EXPECT_EQ(Refused(weather_, R"(})"), 0U);  // city is required
  EXPECT_EQ(Refused(weather_, R"("days":1})"), 8U);
  EXPECT_EQ(Refused(weather_, R"("town":"Rome"})"), 1U);
  EXPECT_EQ(Refused(weather_, R"("cit":"Rome"})"), 4U);
  EXPECT_EQ(Refused(weather_, R"("city":1})"), 7U);  // of another type
  EXPECT_EQ(Refused(weather_, R"("city":"a","days":"b"})"), 18U);
  EXPECT_EQ(Refused(weather_, R"("city":"a","city":"b"})"), 12U);  // twice
  EXPECT_EQ(Refused(weather_, R"("city":"a","days":1,)"), 19U);    // there is no other
  EXPECT_EQ(Refused(weather_, R"("city":"a"}})"
                              "x"),
            12U);
  EXPECT_EQ(Refused(any_, "set"), 0U);
  EXPECT_EQ(Refused(any_, R"(get_w", )"), 5U);
  EXPECT_EQ(Refused(any_, R"(get", "arguments": {"a":1})"), 20U);
}

TEST_F(CallFilterTest, HasNoGrammarWhereNothingIsForced) {
  EXPECT_FALSE(FindCallGrammar({}, {.tools = ToolSyntax::kHermes}, SomeTools()));
  EXPECT_FALSE(FindCallGrammar(any_, {.tools = ToolSyntax::kGlm}, SomeTools()));
  EXPECT_FALSE(FindCallGrammar({.kind = ToolChoice::Kind::kNamed, .name = "other"},
                               {.tools = ToolSyntax::kHermes}, SomeTools()));
}

}  // namespace
}  // namespace plimsoll::server::api::output
