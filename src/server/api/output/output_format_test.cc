#include "server/api/output/output_format.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/output/json_scan.h"

namespace plimsoll::server::api::output {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using text::jinja::Value;

TEST(FindOutputFormat, KnowsFamiliesByTheirTemplates) {
  struct Case {
    std::string_view source;
    ToolSyntax syntax;
    bool has_tools;
    std::string_view reasoning;
    bool shows_control;
  };
  const Case cases[] = {
      {"", ToolSyntax::kHermes, false, "", false},
      {"{% for m in messages %}{{ m.content }}{% endfor %}", ToolSyntax::kHermes, false, "", false},
      {"{% if tools %}..<tool_call>{\"name\":..}</tool_call>..<think>", ToolSyntax::kHermes, true,
       "<think>", false},
      {"{% if tools %}<tool_call>\n<function=x>\n<parameter=y>", ToolSyntax::kQwenXml, true, "",
       false},
      {"{% if tools %}[AVAILABLE_TOOLS]..[TOOL_CALLS]", ToolSyntax::kMistral, true, "", true},
      {"{% if tools %}[TOOL_CALLS]f[ARGS]..[THINK]", ToolSyntax::kMistralArgs, true, "[THINK]",
       true},
      {"{% if tools %}<|start_header_id|>..<|python_tag|>", ToolSyntax::kLlama, true, "", true},
      {"{% if tools %}<|start_header_id|>{\"name\": .., \"parameters\": ..}", ToolSyntax::kLlama,
       true, "", true},
      {"<|start|>..<|channel|>final<|message|>..tools", ToolSyntax::kHarmony, true, "", true},
      {"tools <｜tool▁call▁begin｜>..```json..</think>", ToolSyntax::kDeepSeek, true, "<think>",
       true},
      {"tools <｜tool▁call▁begin｜>..<think>", ToolSyntax::kDeepSeekV31, true, "<think>", true},
      {"tools <tool_call>..<arg_key>..<think>", ToolSyntax::kGlm, true, "<think>", false},
      {"tools <|tool_call>call:..<|channel>..<channel|>", ToolSyntax::kGemma, true,
       "<|channel>thought", true},
      {"tools <minimax:tool_call>..<think>", ToolSyntax::kMinimax, true, "<think>", false},
      {"tools <|tool_call|>..<think></think>", ToolSyntax::kCallList, true, "<think>", true},
      {"tools <|tool_call|> Here is my thought process: .. Here is my response:",
       ToolSyntax::kCallList, true, "Here is my thought process:", true},
      {"tools <|header_start|>[func_name1(params_name1=params_value1)]", ToolSyntax::kPythonic,
       true, "", true},
      {"tools <|header_start|>{\"name\": .., \"parameters\": ..}<|python_start|>",
       ToolSyntax::kLlama, true, "", true},
      {"tools <minimax:tool_call>..'<response>'..'</response>'", ToolSyntax::kMinimax, true, "",
       false},
      {"a family of its own with tools", ToolSyntax::kHermes, false, "", false},
  };
  for (const Case& c : cases) {
    const OutputFormat format = FindOutputFormat(c.source);
    EXPECT_EQ(format.tools, c.syntax) << c.source;
    EXPECT_EQ(format.template_has_tools, c.has_tools) << c.source;
    EXPECT_EQ(format.reasoning_open, c.reasoning) << c.source;
    EXPECT_EQ(format.shows_control_tokens, c.shows_control) << c.source;
  }
}

TEST(EndsInReasoning, WhenThePromptOpensIt) {
  const OutputFormat format = FindOutputFormat("<think>");
  EXPECT_TRUE(EndsInReasoning(format, "<|assistant|><think>\n"));
  EXPECT_FALSE(EndsInReasoning(format, "<|assistant|><think>\n\n</think>\n\n"));
  EXPECT_FALSE(EndsInReasoning(format, "<|assistant|>"));
  EXPECT_FALSE(EndsInReasoning({}, "anything"));
}

TEST(ForcedOpening, OnlyForChoicesThatForce) {
  const OutputFormat format = FindOutputFormat("<think>");
  using Kind = ToolChoice::Kind;
  EXPECT_EQ(ForcedOpening({.kind = Kind::kAuto}, format, ""), "");
  EXPECT_EQ(ForcedOpening({.kind = Kind::kNone}, format, ""), "");
  EXPECT_EQ(ForcedOpening({.kind = Kind::kRequired}, format, ""), "<tool_call>\n{\"name\": \"");
  EXPECT_EQ(ForcedOpening({.kind = Kind::kNamed, .name = "f"}, format, "<think>\n"),
            "</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {");
}

Tool PlainTool(std::string name) {
  Value function = Value::Object(
      {{"name", name}, {"n", 1}, {"x", 0.5}, {"l", Value::List({true})}, {"z", nullptr}});
  return {.name = std::move(name),
          .definition = Value::Object({{"type", "function"}, {"function", function}})};
}

TEST(ForTemplate, WritesCallsOutWhereTheTemplateDoesNot) {
  Conversation conversation;
  conversation.messages = {{.role = "user", .content = "Hi"},
                           {.role = "assistant",
                            .content = std::nullopt,
                            .tool_calls = {{.id = "1", .name = "f", .arguments = "{\"a\":1}"}}},
                           {.role = "tool", .content = "7", .tool_call_id = "1"}};
  conversation.tools = {PlainTool("f")};
  const OutputFormat granite = FindOutputFormat("tools <|tool_call|> message['content']");
  EXPECT_FALSE(granite.template_has_calls);
  const Conversation written = ForTemplate(conversation, granite);
  ASSERT_THAT(written.messages, SizeIs(3));
  EXPECT_EQ(written.messages[1].content,
            "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\":1}}]");
  const OutputFormat knows = FindOutputFormat("tools <|tool_call|> message['tool_calls']");
  EXPECT_EQ(ForTemplate(conversation, knows).messages[1].content, std::nullopt);
}

TEST(ForTemplate, PutsResultsBesideTheirCallsWhereTheTemplateWantsThem) {
  Conversation conversation;
  conversation.messages = {{.role = "assistant",
                            .content = std::nullopt,
                            .tool_calls = {{.id = "1", .name = "f", .arguments = "{}"},
                                           {.id = "2", .name = "g", .arguments = "{}"}}},
                           {.role = "tool", .content = "{\"n\": 7}", .tool_call_id = "2"},
                           {.role = "tool", .content = "8", .tool_call_id = "1"},
                           {.role = "user", .content = "Hi"}};
  const OutputFormat gemma = FindOutputFormat(
      "tools <|tool_call>call: message['tool_calls'] message['tool_responses'] type = 'tool'");
  EXPECT_TRUE(gemma.results_in_calls);
  const Conversation joined = ForTemplate(conversation, gemma);
  ASSERT_THAT(joined.messages, SizeIs(2));
  const auto& results = joined.messages[0].tool_results;
  ASSERT_THAT(results, SizeIs(2));
  EXPECT_EQ(results[0].name, "g");
  EXPECT_EQ(results[0].content, "{\"n\": 7}");
  EXPECT_EQ(results[1].name, "f");
  const OutputFormat later = FindOutputFormat(
      "tools <|tool_call>call: message['tool_calls'] 'tool_responses' role == 'tool'");
  EXPECT_FALSE(later.results_in_calls);
}

TEST(ForTemplate, PutsTheToolsIntoTheSystemMessageWhereTheTemplateWantsThem) {
  const OutputFormat phi = FindOutputFormat("{{ '<|tool|>' + message['tools'] + '<|/tool|>' }}");
  EXPECT_EQ(phi.tools, ToolSyntax::kCallList);
  EXPECT_TRUE(phi.tools_in_system);
  Conversation conversation;
  conversation.messages = {{.role = "user", .content = "Hi"}};
  conversation.tools = {PlainTool("f"), PlainTool("g")};
  const Conversation added = ForTemplate(conversation, phi);
  ASSERT_THAT(added.messages, SizeIs(2));
  EXPECT_EQ(added.messages[0].role, "system");
  EXPECT_EQ(added.messages[0].tools, R"([{"name":"f","n":1,"x":0.5,"l":[true],"z":null}, )"
                                     R"({"name":"g","n":1,"x":0.5,"l":[true],"z":null}])");
  conversation.tool_choice.kind = ToolChoice::Kind::kNone;
  EXPECT_THAT(ForTemplate(conversation, phi).messages, SizeIs(1));
}

TEST(WithGenericTools, LeavesATextThatAnyTemplateTakes) {
  Conversation conversation;
  conversation.messages = {
      {.role = "system", .content = "Be brief."},
      {.role = "user", .content = "Hi"},
      {.role = "assistant",
       .content = std::nullopt,
       .tool_calls = {{.id = "1", .name = "f", .arguments = "{\"a\":1}"},
                      {.id = "2", .name = "f", .arguments = "a: 1"}}},
      {.role = "tool", .content = "7", .tool_call_id = "1"},
      {.role = "tool", .content = "8", .tool_call_id = "2"},
  };
  conversation.tools = {PlainTool("f")};
  conversation.tool_choice = {.kind = ToolChoice::Kind::kNamed, .name = "f"};
  const Conversation plain = WithGenericTools(conversation);
  ASSERT_THAT(plain.messages, SizeIs(4));
  EXPECT_EQ(plain.messages[0].role, "system");
  EXPECT_THAT(*plain.messages[0].content,
              AllOf(HasSubstr(R"({"type":"function","function":{"name":"f","n":1,"x":0.5,)"
                              R"("l":[true],"z":null}})"),
                    HasSubstr("You must call f now."), HasSubstr("Several calls"),
                    HasSubstr("\n\nBe brief.")));
  EXPECT_EQ(plain.messages[2].content,
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":1}}\n</tool_call>\n"
            "<tool_call>\n{\"name\": \"f\", \"arguments\": \"a: 1\"}\n</tool_call>");
  EXPECT_EQ(plain.messages[3].role, "user");
  EXPECT_EQ(plain.messages[3].content,
            "<tool_response>\n7\n</tool_response>\n<tool_response>\n8\n</tool_response>");
  EXPECT_TRUE(plain.tools.empty());

  conversation.tool_choice.kind = ToolChoice::Kind::kNone;
  EXPECT_EQ(WithGenericTools(conversation).messages[0].content, "Be brief.");
  conversation.messages = {{.role = "user", .content = "Hi"}};
  conversation.tool_choice.kind = ToolChoice::Kind::kRequired;
  conversation.parallel_tool_calls = false;
  const Conversation added = WithGenericTools(conversation);
  ASSERT_THAT(added.messages, SizeIs(2));
  EXPECT_THAT(*added.messages[0].content,
              AllOf(HasSubstr("You must call a function now."), HasSubstr("one call at a time")));
}

TEST(ScanJson, AgreesWithTheGrammarAtEveryLength) {
  using State = JsonSpan::State;
  constexpr std::string_view kText =
      R"({"a\u00e9\n": [1, -0.5e+10, true, false, null, {}, [], "x\"y"], "b": {"c": 0}} tail)";
  const size_t end = kText.find(" tail");
  for (size_t n = 1; n < end; ++n) {
    const JsonSpan span = ScanJson(kText.substr(0, n), 0);
    EXPECT_EQ(span.state, State::kOpen) << kText.substr(0, n);
    EXPECT_EQ(span.end, n);
  }
  const JsonSpan span = ScanJson(kText, 0);
  EXPECT_EQ(span.state, State::kDone);
  EXPECT_EQ(span.end, end);
  for (const std::string_view bad :
       {"{a", "{\"a\" 1", "{\"a\":1,}", "[1,]", "[1 2", "[01", "[1.]", "[.5", "[+1", "[tru,", "[-]",
        "[1e]", "[\"\\x", "[\"\\u12g", "[\"\n", "{1:", "'a'", "}"}) {
    EXPECT_EQ(ScanJson(bad, 0).state, State::kBad) << bad;
  }
  EXPECT_EQ(ScanJson(std::string(1'000'000, '['), 0).state, State::kBad);
  EXPECT_EQ(ScanJson(std::string(128, '['), 0).state, State::kOpen);
  EXPECT_EQ(ScanJson("12", 0).state, State::kOpen);
  EXPECT_TRUE(IsJson(" 12 ", false));
  EXPECT_FALSE(IsJson("12", true));
  EXPECT_FALSE(IsJson("1 2", false));
  EXPECT_FALSE(IsJson("", false));
  EXPECT_TRUE(IsJson(" {} ", true));
  EXPECT_EQ(UnquoteJson(R"("a\n")"), "a\n");
  EXPECT_EQ(UnquoteJson("5"), std::nullopt);
  EXPECT_EQ(QuoteJson("a\"b"), R"("a\"b")");
}

}  // namespace
}  // namespace plimsoll::server::api::output
