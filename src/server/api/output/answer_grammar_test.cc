#include "server/api/output/answer_grammar.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "grammar/automaton.h"
#include "grammar/matcher.h"

namespace plimsoll::server::api::output {
namespace {

using text::jinja::Value;

Tool ToolOf(const std::string& name, const std::string& schema, bool strict = false) {
  const Value parameters = text::jinja::ParseJson(schema).value();
  return {.name = name,
          .definition = Value::Object(
              {{"type", "function"},
               {"function",
                Value::Object({{"name", name}, {"parameters", parameters}, {"strict", strict}})}})};
}

std::vector<Tool> WeatherTools(bool strict = false) {
  return {ToolOf("get_weather",
                 R"({"properties":{"city":{"type":"string"},"days":{"type":"integer"}},
                     "required":["city"],"additionalProperties":false})",
                 strict),
          ToolOf("get", R"({"properties":{},"additionalProperties":false})"),
          ToolOf("free", R"({"type":"object"})")};
}

// Follows the text of a form.
class Form {
 public:
  explicit Form(const AnswerForm& form) {
    auto grammar = MakeAnswerGrammar(form);
    EXPECT_TRUE(grammar) << grammar.error().message;
    auto automaton = grammar::Automaton::Compile(*std::move(grammar));
    EXPECT_TRUE(automaton) << automaton.error().message;
    matcher_.emplace(std::make_shared<const grammar::Automaton>(*std::move(automaton)));
    start_ = matcher_->Step(matcher_->start(), form.said);
  }

  // Where the first byte stands that is refused, or the end that may not be there; nothing: the
  // text is whole.
  std::optional<size_t> Refused(const std::string& text) {
    auto state = start_;
    for (size_t i = 0; i < text.size(); ++i) {
      state = matcher_->Step(state, static_cast<uint8_t>(text[i]));
      if (state == grammar::Matcher::kDead) {
        return i;
      }
    }
    return matcher_->IsWhole(state) ? std::nullopt : std::optional(text.size());
  }
  bool IsOver(const std::string& text) { return matcher_->IsOver(matcher_->Step(start_, text)); }

 private:
  std::optional<grammar::Matcher> matcher_;
  grammar::Matcher::StateId start_ = grammar::Matcher::kDead;
};

Conversation With(std::vector<Tool> tools, ToolChoice choice = {}) {
  Conversation conversation;
  conversation.tools = std::move(tools);
  conversation.tool_choice = std::move(choice);
  return conversation;
}

const ToolChoice kWeather = {.kind = ToolChoice::Kind::kNamed,  // NOLINT(cert-err58-cpp)
                             .name = "get_weather"};
const ToolChoice kAny = {.kind = ToolChoice::Kind::kRequired,
                         .name = {}};                         // NOLINT(cert-err58-cpp)
const std::string kClosing = "}\n</tool_call>";               // NOLINT(cert-err58-cpp)
const OutputFormat kHermes = {.tools = ToolSyntax::kHermes};  // NOLINT(cert-err58-cpp)

Constraint SchemaConstraint(const std::string& schema) {
  return {.kind = Constraint::Kind::kJsonSchema, .source = schema, .choices = {}, .param = "s"};
}

TEST(AnswerGrammar, TakesForcedCallsThatAreWellFormed) {
  Form named(*FindAnswerForm(kHermes, With(WeatherTools(), kWeather), {}, ""));
  EXPECT_EQ(named.Refused(R"("city": "Rome"})" + kClosing), std::nullopt);
  EXPECT_EQ(named.Refused(R"("city":"R\"\u00e9","days":-3})" + kClosing), std::nullopt);
  EXPECT_TRUE(named.IsOver(R"("city": "Rome"})" + kClosing));
  Form any(*FindAnswerForm(kHermes, With(WeatherTools(), kAny), {}, ""));
  EXPECT_EQ(any.Refused(R"(get", "arguments": {})" + kClosing), std::nullopt);
  EXPECT_EQ(any.Refused(R"(get_weather", "arguments": {"city":"x"})" + kClosing), std::nullopt);
  EXPECT_EQ(any.Refused(R"(free", "arguments": {"a":[{"b":1}],"c":null})" + kClosing),
            std::nullopt);
}

TEST(AnswerGrammar, RefusesWhatTheToolDoesNotHave) {
  Form named(*FindAnswerForm(kHermes, With(WeatherTools(), kWeather), {}, ""));
  EXPECT_EQ(named.Refused(R"(})"), 0U);  // city is required
  EXPECT_EQ(named.Refused(R"("days":1})"), 1U);
  EXPECT_EQ(named.Refused(R"("town":"Rome"})"), 1U);
  EXPECT_EQ(named.Refused(R"("cit":"Rome"})"), 4U);
  EXPECT_EQ(named.Refused(R"("city":1})"), 7U);  // of another type
  EXPECT_EQ(named.Refused(R"("city":"a","days":"b"})"), 18U);
  EXPECT_EQ(named.Refused(R"("city":"a","city":"b"})"), 12U);  // twice
  EXPECT_EQ(named.Refused(R"("city":"a","days":1,)"), 19U);    // there is no other
  EXPECT_EQ(named.Refused(R"("city":"a"}})"
                          "x"),
            12U);
  Form any(*FindAnswerForm(kHermes, With(WeatherTools(), kAny), {}, ""));
  EXPECT_EQ(any.Refused("set"), 0U);
  EXPECT_EQ(any.Refused(R"(get_w", )"), 5U);
  EXPECT_EQ(any.Refused(R"(get", "arguments": {"a":1})"), 20U);
}

TEST(AnswerGrammar, HasNoFormWhereNothingIsForced) {
  EXPECT_FALSE(FindAnswerForm(kHermes, With(WeatherTools()), {}, ""));
  EXPECT_FALSE(FindAnswerForm({.tools = ToolSyntax::kGlm}, With(WeatherTools(), kAny), {}, ""));
  EXPECT_FALSE(
      FindAnswerForm(kHermes, With(WeatherTools(), {ToolChoice::Kind::kNamed, "other"}), {}, ""));
}

TEST(AnswerGrammar, HoldsStrictToolsToTheirSchemasBehindAnyText) {
  Form form(*FindAnswerForm(kHermes, With(WeatherTools(true)), {}, ""));
  const std::string call =
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\":\"x\"}" + kClosing;
  for (const std::string& text : {std::string(), std::string("Any text < tool_call."), call,
                                  "I look. " + call, call + "\n" + call}) {
    EXPECT_EQ(form.Refused(text), std::nullopt) << text;
  }
  EXPECT_EQ(form.Refused(call + "x"), call.size());
  EXPECT_NE(form.Refused("<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {}"),
            std::nullopt);
  EXPECT_NE(form.Refused("<tool_call> and so on"), std::nullopt);
}

TEST(AnswerGrammar, BeginsBehindTheReasoning) {
  const OutputFormat thinks = {.tools = ToolSyntax::kHermes,
                               .template_has_tools = false,
                               .reasoning_open = "<think>",
                               .reasoning_close = "</think>"};
  const Constraint number = SchemaConstraint(R"({"type":"boolean"})");
  Form within(*FindAnswerForm(thinks, {}, number, "<think>\n"));
  EXPECT_EQ(within.Refused("It is so. </thin </think>\n\ntrue"), std::nullopt);
  EXPECT_EQ(within.Refused("true"), 4U);
  EXPECT_TRUE(within.IsOver("</think>false"));
  Form before(*FindAnswerForm(thinks, {}, number, "assistant\n"));
  EXPECT_EQ(before.Refused("true"), std::nullopt);
  EXPECT_EQ(before.Refused("<think>{</think>true"), std::nullopt);
  EXPECT_EQ(before.Refused("It"), 0U);
  Form behind(*FindAnswerForm(thinks, {}, number, "<think>\n\n</think>\n\n"));
  EXPECT_EQ(behind.Refused("true"), std::nullopt);
  EXPECT_EQ(behind.Refused("<think>"), 0U);
}

TEST(AnswerGrammar, TakesACallOrTheContentWhereBothMayBe) {
  Form form(
      *FindAnswerForm(kHermes, With(WeatherTools()), SchemaConstraint(R"({"const":{"a":1}})"), ""));
  EXPECT_EQ(form.Refused(R"({"a":1})"), std::nullopt);
  EXPECT_EQ(form.Refused("<tool_call>\n{\"name\": \"get\", \"arguments\": {}" + kClosing),
            std::nullopt);
  EXPECT_EQ(form.Refused("Text"), 0U);
}

TEST(AnswerGrammar, WritesControlTokensOfAFormatAsSuchOrSpelled) {
  AnswerForm form = *FindAnswerForm({.tools = ToolSyntax::kDeepSeekV31,
                                     .template_has_tools = true,
                                     .reasoning_open = {},
                                     .reasoning_close = {},
                                     .shows_control_tokens = true},
                                    With(WeatherTools(), kAny), {}, "");
  form.control = {"<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"};
  Form calls(form);
  EXPECT_EQ(calls.Refused("get<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
            std::nullopt);
  EXPECT_EQ(calls.Refused("get\xff<｜tool▁sep｜>{}\xff<｜tool▁call▁end｜>\xff<｜tool▁calls▁end｜>"),
            std::nullopt);
  EXPECT_NE(calls.Refused("free<｜tool▁sep｜>{\"a\":\"\xff<｜tool▁sep｜>\"}"), std::nullopt);
}

TEST(AnswerGrammar, FindsHarmonysFinalChannel) {
  Form form(*FindAnswerForm({.tools = ToolSyntax::kHarmony}, {},
                            SchemaConstraint(R"({"type":"null"})"), ""));
  EXPECT_EQ(form.Refused("<|channel|>final<|message|>null"), std::nullopt);
  EXPECT_EQ(form.Refused("<|channel|>analysis<|message|>Well.<|end|><|start|>assistant"
                         "<|channel|>final<|message|>null"),
            std::nullopt);
  EXPECT_EQ(form.Refused("null"), 0U);
}

TEST(AnswerGrammar, NamesWhatItCannotFollow) {
  const auto error = [](const AnswerForm& form) { return MakeAnswerGrammar(form).error(); };
  const ApiError schema = error(PlainForm(SchemaConstraint(R"({"not":{}})")));
  EXPECT_EQ(schema.status, 400U);
  EXPECT_EQ(schema.param, "s");
  EXPECT_NE(schema.message.find("not"), std::string::npos) << schema.message;
  EXPECT_EQ(
      error(PlainForm(
                {.kind = Constraint::Kind::kRegex, .source = "a(", .choices = {}, .param = "r"}))
          .param,
      "r");
  const ApiError strict =
      error(*FindAnswerForm(kHermes, With({ToolOf("f", R"({"not":{}})", true)}, kAny), {}, ""));
  EXPECT_EQ(strict.param, "tools[0].function.parameters");
  // Of one that is not strict any object is taken.
  Form free(*FindAnswerForm(kHermes, With({ToolOf("f", R"({"not":{}})")}, kAny), {}, ""));
  EXPECT_EQ(free.Refused("f\", \"arguments\": {\"a\":1}" + kClosing), std::nullopt);
}

TEST(AnswerGrammar, TakesOneOfTheChoices) {
  Form form(PlainForm({.kind = Constraint::Kind::kChoice,
                       .source = {},
                       .choices = {"yes", "no", "yesterday"},
                       .param = "c"}));
  for (const char* text : {"yes", "no", "yesterday"}) {
    EXPECT_EQ(form.Refused(text), std::nullopt);
  }
  EXPECT_EQ(form.Refused("yester"), 6U);
  EXPECT_EQ(form.Refused("maybe"), 0U);
}

}  // namespace
}  // namespace plimsoll::server::api::output
