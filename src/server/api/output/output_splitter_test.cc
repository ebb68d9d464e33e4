#include "server/api/output/output_splitter.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"

namespace plimsoll::server::api::output {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using text::jinja::Value;

// get(city: string, days: integer) and put().
std::vector<Tool> TestTools() {
  const Value properties = Value::Object({{"city", Value::Object({{"type", "string"}})},
                                          {"days", Value::Object({{"type", "integer"}})}});
  const Value parameters = Value::Object({{"type", "object"}, {"properties", properties}});
  const auto tool = [](std::string name, Value arguments) {
    Value function = Value::Object({{"name", name}, {"parameters", std::move(arguments)}});
    return Tool{.name = std::move(name),
                .definition = Value::Object({{"type", "function"}, {"function", function}})};
  };
  return {tool("get", parameters), tool("put", Value::Object({{"type", "object"}}))};
}

SplitterOptions OptionsOf(ToolSyntax syntax) {
  return {.format = {.tools = syntax,
                     .template_has_tools = true,
                     .reasoning_open = "<think>",
                     .reasoning_close = "</think>"},
          .tools = TestTools(),
          .id_seed = 5};
}

// Events as one text; what is cut into pieces is put together.
std::string Told(const std::vector<Event>& events) {
  std::string told;
  std::string open;  // what the last piece belongs to
  const auto piece = [&](std::string kind, std::string_view text) {
    if (open != kind) told += fmt::format("{}[{}]", told.empty() ? "" : " ", kind);
    open = std::move(kind);
    told += text;
  };
  for (const Event& event : events) {
    if (const auto* text = std::get_if<TextEvent>(&event)) {
      if (!text->text.empty()) piece("text", text->text);
    } else if (const auto* reasoning = std::get_if<ReasoningEvent>(&event)) {
      piece("reasoning", reasoning->text);
    } else if (const auto* begin = std::get_if<ToolCallBegin>(&event)) {
      piece(fmt::format("{}: {}", begin->index, begin->name), "");
    } else if (const auto* arguments = std::get_if<ToolCallArguments>(&event)) {
      EXPECT_TRUE(open.starts_with(fmt::format("{}: ", arguments->index))) << open;
      told += arguments->text;
    } else if (const auto* end = std::get_if<ToolCallEnd>(&event)) {
      EXPECT_TRUE(open.starts_with(fmt::format("{}: ", end->index))) << open;
      open = "over";
      told += ";";
    } else {
      ADD_FAILURE() << "an event that no splitter gives";
    }
  }
  return told;
}

std::vector<Event> Split(const SplitterOptions& options, const std::vector<std::string>& pieces) {
  OutputSplitter splitter(options);
  std::vector<Event> events;
  const auto take = [&](std::vector<Event> more) {
    events.insert(events.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
  };
  for (const std::string& piece : pieces) take(splitter.Add(piece));
  take(splitter.Finish());
  return events;
}

std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> characters;
  while (!text.empty()) {
    const size_t n = std::max<size_t>(1, Utf8Length(text));
    characters.emplace_back(text.substr(0, n));
    text.remove_prefix(n);
  }
  return characters;
}

// Pieces of one to `most` characters, other ones for each seed.
std::vector<std::string> Pieces(std::string_view text, uint64_t seed, uint32_t most) {
  std::vector<std::string> pieces;
  size_t left = 0;
  for (const std::string& character : Characters(text)) {
    if (left == 0) {
      left = 1 + static_cast<size_t>(UniformAt(seed, pieces.size()) * most);
      pieces.emplace_back();
    }
    pieces.back() += character;
    --left;
  }
  return pieces;
}

// However the text is cut, the same is told.
std::string ToldOfAnyCut(const SplitterOptions& options, std::string_view text) {
  const std::string whole = Told(Split(options, {std::string(text)}));
  EXPECT_EQ(Told(Split(options, Characters(text))), whole) << "a character at a time";
  for (uint64_t seed = 0; seed < 40; ++seed) {
    EXPECT_EQ(Told(Split(options, Pieces(text, seed, 2 + static_cast<uint32_t>(seed % 20)))), whole)
        << "cut " << seed;
  }
  return whole;
}

struct Fixture {
  ToolSyntax syntax;
  std::string_view text;
  std::string_view told;
};

// As the models of these families write, after their chat templates and model cards.
constexpr Fixture kGoodCalls[] = {
    {ToolSyntax::kHermes,
     "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
     "[0: get]{\"city\": \"Paris\"};"},
    {ToolSyntax::kHermes,
     "Let me look.\n\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": "
     "\"A</tool_call>\"}}"
     "\n</tool_call>\n<tool_call>\n{\"name\": \"put\", \"arguments\": {}}\n</tool_call>\n",
     "[text]Let me look. [0: get]{\"city\": \"A</tool_call>\"}; [1: put]{};"},
    {ToolSyntax::kHermes,
     "<think>\nWhich city? <tool_call>\n</think>\n\n<tool_call>{\"arguments\": {\"days\": 2}, "
     "\"name\": \"get\", \"id\": 7}</tool_call>",
     "[reasoning]Which city? <tool_call> [0: get]{\"days\": 2};"},
    {ToolSyntax::kHermes, "<tool_call>{\"name\": \"put\"}</tool_call> Done.",
     "[0: put]{}; [text]Done."},
    {ToolSyntax::kHermes,
     "<tool_call>{\"name\": \"get\", \"arguments\": \"{\\\"days\\\": 1}\"}</tool_call>",
     "[0: get]{\"days\": 1};"},
    {ToolSyntax::kHermes, "<tool_call>{\"name\": \"put\", \"arguments\": null}</tool_call>",
     "[0: put]{};"},
    // Without its last marks, as when the model ends early.
    {ToolSyntax::kHermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"days\": 1}",
     "[0: get]{\"days\": 1};"},
    {ToolSyntax::kQwenXml,
     "Sure.\n<tool_call>\n<function=get>\n<parameter=city>\nNew\nYork\n</parameter>\n"
     "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>",
     "[text]Sure. [0: get]{\"city\":\"New\\nYork\",\"days\":3};"},
    {ToolSyntax::kQwenXml,
     "<function=put>\n<parameter=a>\n{\"b\": [1]}\n</parameter>\n<parameter=city>\n12\n</parameter>"
     "\n</function>\n<tool_call>\n<function=get>\n<parameter=city>\n12\n</parameter>\n</function>\n"
     "</tool_call>",
     "[0: put]{\"a\":{\"b\": [1]},\"city\":12}; [1: get]{\"city\":\"12\"};"},
    {ToolSyntax::kQwenXml, "<tool_call>\n<function=put>\n</function>\n</tool_call>", "[0: put]{};"},
    {ToolSyntax::kMistral,
     "[TOOL_CALLS][{\"name\": \"get\", \"arguments\": {\"city\": \"Paris\"}, \"id\": \"abc\"}, "
     "{\"name\": \"put\", \"arguments\": {}}]",
     "[0: get]{\"city\": \"Paris\"}; [1: put]{};"},
    {ToolSyntax::kMistralArgs,
     "I look.[TOOL_CALLS]get[ARGS]{\"city\": \"[TOOL_CALLS]\"}[TOOL_CALLS]put[CALL_ID]x1[ARGS]{}",
     "[text]I look. [0: get]{\"city\": \"[TOOL_CALLS]\"}; [1: put]{};"},
    {ToolSyntax::kMistralArgs, "[TOOL_CALLS]get{\"days\": 1}", "[0: get]{\"days\": 1};"},
    {ToolSyntax::kLlama, "{\"name\": \"get\", \"parameters\": {\"city\": \"Paris\"}}",
     "[0: get]{\"city\": \"Paris\"};"},
    {ToolSyntax::kLlama,
     "\n{\"type\": \"function\", \"name\": \"get\", \"parameters\": {\"days\": 1}}; "
     "{\"name\": \"put\", \"parameters\": {}}",
     "[0: get]{\"days\": 1}; [1: put]{};"},
    {ToolSyntax::kLlama, "<|python_tag|>{\"name\": \"get\", \"parameters\": {\"days\": 1}}",
     "[0: get]{\"days\": 1};"},
    {ToolSyntax::kDeepSeek,
     "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n"
     "{\"city\": "
     "\"Paris\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>put\n"
     "```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     "[0: get]{\"city\": \"Paris\"}; [1: put]{};"},
    {ToolSyntax::kDeepSeekV31,
     "Hm.\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{\"days\": 1}"
     "<｜tool▁call▁end｜><｜tool▁call▁begin｜>put<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>",
     "[text]Hm. [0: get]{\"days\": 1}; [1: put]{};"},
    {ToolSyntax::kGlm,
     "<think>a</think>\nOk\n<tool_call>get\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n<tool_call>put\n</"
     "tool_call>",
     "[reasoning]a [text]Ok [0: get]{\"city\":\"Paris\",\"days\":3}; [1: put]{};"},
    {ToolSyntax::kHarmony,
     "<|channel|>analysis<|message|>The user\nasks.<|end|><|start|>assistant<|channel|>commentary "
     "to=functions.get <|constrain|>json<|message|>{\"city\":\"Paris\"}<|call|>",
     "[reasoning]The user\nasks. [0: get]{\"city\":\"Paris\"};"},
    {ToolSyntax::kHarmony, " to=functions.get<|channel|>commentary json<|message|>{\"days\":1}\n",
     "[0: get]{\"days\":1};"},
    {ToolSyntax::kHarmony,
     "<|channel|>commentary<|message|>Two things. <|end|><|start|>assistant to=functions.put"
     "<|channel|>commentary<|message|>{}<|call|><|start|>assistant<|channel|>commentary "
     "to=functions.get<|message|>{}<|call|>",
     "[text]Two things.  [0: put]{}; [1: get]{};"},
    {ToolSyntax::kLlama,
     "<|python_start|>{\"name\": \"get\", \"parameters\": {\"days\": 2}}<|python_end|>",
     "[0: get]{\"days\": 2};"},
    {ToolSyntax::kLlama, "<|python_start|><|python_end|>{\"name\": \"put\", \"parameters\": {}}",
     "[0: put]{};"},
    {ToolSyntax::kPythonic, "[get(city=\"Paris\", days=3), put()]",
     "[0: get]{\"city\":\"Paris\",\"days\":3}; [1: put]{};"},
    {ToolSyntax::kPythonic,
     "I will look.\n<|python_start|>[get(city='it\\'s ]', days=None,)]<|python_end|>",
     "[text]I will look. [0: get]{\"city\":\"it's ]\",\"days\":null};"},
    {ToolSyntax::kPythonic, "[put(a=[1, {'b': True}])]\n", "[0: put]{\"a\":[1,{\"b\":true}]};"},
    {ToolSyntax::kGemma,
     "<|tool_call>call:get{city:<|\"|>Paris, \"the\" city}<|\"|>,days:3}<tool_call|>",
     "[0: get]{\"city\":\"Paris, \\\"the\\\" city}\",\"days\":3};"},
    {ToolSyntax::kGemma,
     "Both:<|tool_call>call:put{}<tool_call|><|tool_call>call:put{a:[{b:true},null]}<tool_call|>",
     "[text]Both: [0: put]{}; [1: put]{\"a\":[{\"b\":true},null]};"},
    {ToolSyntax::kMinimax,
     "<think>\na\n</think>\n\n<minimax:tool_call>\n<invoke name=\"get\">\n<parameter "
     "name=\"city\">Paris</parameter>\n<parameter name=\"days\">3</parameter>\n</invoke>\n"
     "<invoke name=\"put\">\n</invoke>\n</minimax:tool_call>",
     "[reasoning]a [0: get]{\"city\":\"Paris\",\"days\":3}; [1: put]{};"},
    {ToolSyntax::kCallList,
     "<|tool_call|>[{\"name\": \"get\", \"arguments\": {\"days\": 1}}, {\"name\": \"put\", "
     "\"arguments\": {}}]",
     "[0: get]{\"days\": 1}; [1: put]{};"},
    {ToolSyntax::kCallList,
     "<|tool_call|>[{\"name\": \"get\", \"arguments\": {\"days\": 1}}]<|/tool_call|>",
     "[0: get]{\"days\": 1};"},
};

TEST(OutputSplitter, CallsOfEveryFamily) {
  for (const Fixture& fixture : kGoodCalls) {
    SplitterOptions options = OptionsOf(fixture.syntax);
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), fixture.told) << fixture.text;
    options.stream_arguments = false;
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), fixture.told) << fixture.text;
  }
}

// What begins like a call and is none comes back as it was.
constexpr Fixture kNoCalls[] = {
    {ToolSyntax::kHermes, "Write <tool_call> and </tool_call> around it.", ""},
    {ToolSyntax::kHermes, "<tool_call>\n{\"name\": \"other\", \"arguments\": {}}\n</tool_call>",
     ""},
    {ToolSyntax::kHermes, "<tool_call>\n{\"name\": \"get\", \"arguments\": [1]}\n</tool_call>", ""},
    {ToolSyntax::kHermes, "<tool_call>\n{'name': 'get'}\n</tool_call>  \n", ""},
    {ToolSyntax::kHermes, "a <tool_ca", ""},
    {ToolSyntax::kHermes, "<tool_call>", ""},
    {ToolSyntax::kHermes, "  two spaces  ", ""},
    {ToolSyntax::kHermes, "<thin ice", ""},
    {ToolSyntax::kQwenXml, "<function=other>\n</function>", ""},
    {ToolSyntax::kQwenXml, "<function=ge", ""},
    {ToolSyntax::kMistral, "[TOOL_CALLS] none", ""},
    {ToolSyntax::kLlama, "{\"city\": \"Paris\"}", ""},
    {ToolSyntax::kLlama, "{\"name\": \"Ada\", \"age\": 5}", ""},
    {ToolSyntax::kLlama, "{\"name\": \"get\"}", ""},
    {ToolSyntax::kLlama, "Json: {\"name\": \"get\", \"parameters\": {}}", ""},
    {ToolSyntax::kLlama, "<|python_tag|>print(1)", ""},
    {ToolSyntax::kDeepSeek, "<｜tool▁calls▁begin｜>x<｜tool▁call", ""},
    {ToolSyntax::kGlm, "<tool_call>gets\n<arg_key>", ""},
    {ToolSyntax::kHarmony, "plain text", ""},
    {ToolSyntax::kPythonic, "[1, 2]", ""},
    {ToolSyntax::kPythonic, "[other(a=1)]", ""},
    {ToolSyntax::kPythonic, "See [get(city=1)].", ""},
    {ToolSyntax::kGemma, "<|tool_call>get{}<tool_call|>", ""},
    {ToolSyntax::kMinimax, "<minimax:tool_call>\n<invoke name=\"other\">", ""},
    {ToolSyntax::kCallList, "<|tool_call|>[]", ""},
};

TEST(OutputSplitter, WhatIsNoCallIsText) {
  for (const Fixture& fixture : kNoCalls) {
    const std::string told = fmt::format("[text]{}", fixture.text);
    SplitterOptions options = OptionsOf(fixture.syntax);
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), told);
    options.stream_arguments = false;
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), told);
  }
}

TEST(OutputSplitter, BrokenArgumentsAreTextOrGoOnAsTheyAre) {
  constexpr Fixture kBroken[] = {
      {ToolSyntax::kHermes,
       "A <tool_call>{\"name\": \"get\", \"arguments\": {\"city\": Paris}}</tool_call> b",
       "[text]A [0: get]{\"city\": Paris}}; [text]b"},
      {ToolSyntax::kMistralArgs, "[TOOL_CALLS]get[ARGS]{\"a\" 1}[TOOL_CALLS]put[ARGS]{}",
       "[0: get]{\"a\" 1}; [1: put]{};"},
      {ToolSyntax::kHermes, "<tool_call>{\"name\": \"get\", \"arguments\": {\"city\": \"Pa",
       "[0: get]{\"city\": \"Pa;"},
      {ToolSyntax::kHarmony,
       "<|channel|>commentary to=functions.get<|message|>{\"city\" Paris}<|call|>",
       "[0: get]{\"city\" Paris};"},
      {ToolSyntax::kGemma, "<|tool_call>call:get{city:Paris}<tool_call|>ok",
       "[0: get]{city:Paris}; [text]ok"},
  };
  for (const Fixture& fixture : kBroken) {
    SplitterOptions options = OptionsOf(fixture.syntax);
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), fixture.told);
  }
  SplitterOptions options = OptionsOf(ToolSyntax::kHermes);
  options.stream_arguments = false;
  EXPECT_EQ(ToldOfAnyCut(options, kBroken[0].text), fmt::format("[text]{}", kBroken[0].text));
  EXPECT_EQ(ToldOfAnyCut(options, kBroken[2].text), fmt::format("[text]{}", kBroken[2].text));
  options = OptionsOf(ToolSyntax::kMistralArgs);
  options.stream_arguments = false;
  EXPECT_EQ(ToldOfAnyCut(options, kBroken[1].text),
            "[text][TOOL_CALLS]get[ARGS]{\"a\" 1} [0: put]{};");
  options = OptionsOf(ToolSyntax::kHarmony);
  options.stream_arguments = false;
  EXPECT_EQ(ToldOfAnyCut(options, kBroken[3].text), "[text]{\"city\" Paris}");
}

TEST(OutputSplitter, ReasoningIsSplitOffWithoutTools) {
  SplitterOptions options = OptionsOf(ToolSyntax::kHermes);
  options.tools.clear();
  EXPECT_EQ(ToldOfAnyCut(options, "<think>\n a b \n</think>\n\n Hi <tool_call> <think>x</think> "),
            "[reasoning]a b [text]Hi <tool_call> <think>x</think> ");
  EXPECT_EQ(ToldOfAnyCut(options, "<think>\n\n</think>\n\nHi"), "[text]Hi");
  EXPECT_EQ(ToldOfAnyCut(options, " \n<think>cut of"), "[reasoning]cut of");
  EXPECT_EQ(ToldOfAnyCut(options, " \n no <think>"), "[text] \n no <think>");
  EXPECT_EQ(ToldOfAnyCut(options, "  "), "[text]  ");
  options.starts_in_reasoning = true;
  EXPECT_EQ(ToldOfAnyCut(options, "a</thi b</think>c"), "[reasoning]a</thi b [text]c");
  EXPECT_EQ(ToldOfAnyCut(options, "a\n"), "[reasoning]a\n");
  options.starts_in_reasoning = false;
  options.format.reasoning_open.clear();
  options.format.reasoning_close.clear();
  EXPECT_EQ(ToldOfAnyCut(options, "\n<think>a</think> b\n"), "[text]\n<think>a</think> b\n");

  options = OptionsOf(ToolSyntax::kHarmony);
  options.tools.clear();
  EXPECT_EQ(ToldOfAnyCut(options,
                         "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final"
                         "<|message|>Hi <b><|return|>"),
            "[reasoning]hm [text]Hi <b>");
}

// Granite 3.3 and 3.2.
TEST(OutputSplitter, AnAnswerMayStandBetweenMarks) {
  SplitterOptions options = OptionsOf(ToolSyntax::kCallList);
  options.format.answer_open = "<response>";
  options.format.answer_close = "</response>";
  EXPECT_EQ(ToldOfAnyCut(options, "<think>a</think><response>It is < 5.</response>\n"),
            "[reasoning]a [text]It is < 5.");
  EXPECT_EQ(ToldOfAnyCut(options, "<response> b"), "[text]b");
  EXPECT_EQ(ToldOfAnyCut(options, "No </response>"), "[text]No </response>");
  EXPECT_EQ(ToldOfAnyCut(options, "<respond>"), "[text]<respond>");
  options.tools.clear();
  EXPECT_EQ(ToldOfAnyCut(options, "<response>b</response>"), "[text]b");
  options.format.reasoning_open = "Here is my thought process:";
  options.format.reasoning_close = "Here is my response:";
  EXPECT_EQ(ToldOfAnyCut(options, "Here is my thought process: a\n\nHere is my response: b"),
            "[reasoning]a [text]b");
}

TEST(OutputSplitter, RandomTextOfMarksIsCutAlike) {
  constexpr std::string_view kParts[] = {"<tool_call>",
                                         "</tool_call>",
                                         "{\"name\": \"get\", \"arguments\": ",
                                         "{\"name\":\"put\"",
                                         "{\"days\": 1}",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         "\"",
                                         ", ",
                                         "<think>",
                                         "</think>",
                                         "\n",
                                         " ",
                                         "é",
                                         "<function=get>",
                                         "<parameter=city>",
                                         "</parameter>",
                                         "</function>",
                                         "get",
                                         "\n",
                                         "<arg_key>days</arg_key>",
                                         "<arg_value>1",
                                         "</arg_value>",
                                         "[TOOL_CALLS]",
                                         "[ARGS]",
                                         "<|python_tag|>",
                                         "<|channel|>",
                                         "<|message|>",
                                         "<|end|>",
                                         "<|start|>",
                                         "to=functions.get",
                                         "analysis",
                                         "final",
                                         "<|tool_call>call:get{",
                                         "city:",
                                         "city=",
                                         "<|\"|>",
                                         "<tool_call|>",
                                         "[get(",
                                         ")",
                                         "'a'",
                                         "<|python_start|>",
                                         "<|python_end|>",
                                         "<minimax:tool_call>",
                                         "<invoke name=\"put\">",
                                         "<parameter name=\"a\">",
                                         "</invoke>",
                                         "<|tool_call|>",
                                         "<｜tool▁calls▁begin｜>",
                                         "<｜tool▁call▁begin｜>",
                                         "<｜tool▁sep｜>",
                                         "function",
                                         "```json",
                                         "```",
                                         "<｜tool▁call▁end｜>",
                                         "text",
                                         "<",
                                         ";"};
  constexpr ToolSyntax kSyntaxes[] = {
      ToolSyntax::kHermes,  ToolSyntax::kQwenXml,     ToolSyntax::kMistral,
      ToolSyntax::kLlama,   ToolSyntax::kHarmony,     ToolSyntax::kDeepSeek,
      ToolSyntax::kGlm,     ToolSyntax::kMistralArgs, ToolSyntax::kDeepSeekV31,
      ToolSyntax::kGemma,   ToolSyntax::kPythonic,    ToolSyntax::kMinimax,
      ToolSyntax::kCallList};
  const uint64_t n_seeds = std::getenv("PLIMSOLL_NIGHT") != nullptr ? 300'000 : 3'000;
  for (uint64_t seed = 0; seed < n_seeds; ++seed) {
    std::string text;
    const auto n_parts = 1 + static_cast<size_t>(UniformAt(seed, 0) * 12);
    for (size_t i = 1; i <= n_parts; ++i) {
      text += kParts[static_cast<size_t>(UniformAt(seed, i) * std::size(kParts))];
    }
    SplitterOptions options = OptionsOf(kSyntaxes[seed % std::size(kSyntaxes)]);
    options.stream_arguments = seed % 2 == 0;
    const std::string whole = Told(Split(options, {text}));
    ASSERT_EQ(Told(Split(options, Characters(text))), whole) << seed << ": " << text;
    ASSERT_EQ(Told(Split(options, Pieces(text, seed, 9))), whole) << seed << ": " << text;
  }
}

TEST(OutputSplitter, ArgumentsLeaveBeforeTheCallEnds) {
  OutputSplitter splitter(OptionsOf(ToolSyntax::kHermes));
  EXPECT_THAT(splitter.Add("<tool_call>\n{\"name\": \"ge"), IsEmpty());
  EXPECT_EQ(splitter.n_calls(), 0U);
  EXPECT_EQ(Told(splitter.Add("t\", \"arguments\": {\"city\": \"Pa")), "[0: get]{\"city\": \"Pa");
  EXPECT_EQ(splitter.n_calls(), 1U);
  const std::vector<Event> more = splitter.Add("ris");
  ASSERT_EQ(more.size(), 1U);
  EXPECT_EQ(std::get<ToolCallArguments>(more[0]).text, "ris");
}

TEST(OutputSplitter, LongCallsTakeTimeInProportion) {
  OutputSplitter splitter(OptionsOf(ToolSyntax::kHermes));
  std::vector<Event> events =
      splitter.Add("<tool_call>{\"name\":\"get\",\"arguments\":{\"city\":\"");
  for (int i = 0; i < 100'000; ++i) {
    for (Event& event : splitter.Add("four")) events.push_back(std::move(event));
  }
  for (Event& event : splitter.Add("\"}}</tool_call>")) events.push_back(std::move(event));
  for (Event& event : splitter.Finish()) events.push_back(std::move(event));
  EXPECT_EQ(Told(events).size(), 400'000 + std::string_view("[0: get]{\"city\":\"\"};").size());
  EXPECT_LT(events.size(), 2000U);
}

TEST(OutputSplitter, IdsAreUnlikeAndAsTheFamilyWantsThem) {
  const auto ids = [](ToolSyntax syntax, std::string_view text, uint64_t seed) {
    SplitterOptions options = OptionsOf(syntax);
    options.id_seed = seed;
    std::vector<std::string> found;
    for (const Event& event : Split(options, {std::string(text)})) {
      if (const auto* begin = std::get_if<ToolCallBegin>(&event)) found.push_back(begin->id);
    }
    return found;
  };
  const auto mistral = ids(ToolSyntax::kMistral, kGoodCalls[10].text, 1);
  ASSERT_EQ(mistral.size(), 2U);
  EXPECT_NE(mistral[0], mistral[1]);
  EXPECT_EQ(mistral[0].size(), 9U);
  const auto hermes = ids(ToolSyntax::kHermes, kGoodCalls[0].text, 1);
  ASSERT_EQ(hermes.size(), 1U);
  EXPECT_TRUE(hermes[0].starts_with("call_"));
  EXPECT_NE(hermes, ids(ToolSyntax::kHermes, kGoodCalls[0].text, 2));
}

TEST(OutputSplitter, TokensGoWithTheirText) {
  SplitterOptions options = OptionsOf(ToolSyntax::kHermes);
  OutputSplitter splitter(options);
  std::vector<Event> events;
  for (const std::string_view token :
       {"<think>", "a", "</think>", "\n\n", "Hi", " the", "re", " <", "3"}) {
    std::vector<TokenReport> reports;
    reports.push_back({.token = {std::string(token), -1.0F}, .top = {}});
    for (Event& event : splitter.Add(token, std::move(reports))) events.push_back(std::move(event));
  }
  for (Event& event : splitter.Finish()) events.push_back(std::move(event));
  std::string text;
  std::vector<std::string> tokens;
  for (const Event& event : events) {
    if (const auto* part = std::get_if<TextEvent>(&event)) {
      text += part->text;
      for (const TokenReport& report : part->tokens) tokens.push_back(report.token.text);
    }
  }
  EXPECT_EQ(text, "Hi there <3");
  EXPECT_THAT(tokens, ElementsAre("Hi", " the", "re", " <", "3"));
}

TEST(OutputSplitter, TokensBehindTheirTextLeaveAtTheEnd) {
  SplitterOptions options = OptionsOf(ToolSyntax::kHermes);
  options.tools.clear();
  OutputSplitter splitter(options);
  const auto first = splitter.Add("", {{.token = {"\xC3", -1.0F}, .top = {}}});
  EXPECT_THAT(first, IsEmpty());
  const auto second = splitter.Add("\xC3\xA9", {{.token = {"\xA9 and", -2.0F}, .top = {}}});
  ASSERT_EQ(second.size(), 1U);
  EXPECT_EQ(std::get<TextEvent>(second[0]).tokens.size(), 1U);
  const auto last = splitter.Finish();
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(std::get<TextEvent>(last[0]).text, "");
  EXPECT_EQ(std::get<TextEvent>(last[0]).tokens.size(), 1U);
}

TEST(OutputSplitter, ForcedOpeningsBeginACall) {
  constexpr std::pair<ToolSyntax, std::string_view> kAnswers[] = {
      {ToolSyntax::kHermes, "\"days\": 1}}\n</tool_call>"},
      {ToolSyntax::kMistral, "\"days\": 1}}]"},
      {ToolSyntax::kMistralArgs, "\"days\": 1}"},
      {ToolSyntax::kLlama, "\"days\": 1}}"},
      {ToolSyntax::kHarmony, "\"days\": 1}"},
      {ToolSyntax::kDeepSeek, "\"days\": 1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
      {ToolSyntax::kDeepSeekV31, "\"days\": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
      {ToolSyntax::kQwenXml, "<parameter=days>\n1\n</parameter>\n</function>\n</tool_call>"},
      {ToolSyntax::kGlm, "<arg_key>days</arg_key>\n<arg_value>1</arg_value>\n</tool_call>"},
      {ToolSyntax::kCallList, "\"days\": 1}}]"},
      {ToolSyntax::kPythonic, "days=1)]"},
      {ToolSyntax::kGemma, "days:1}<tool_call|>"},
      {ToolSyntax::kMinimax, "<parameter name=\"days\">1</parameter>\n</invoke>\n"},
  };
  for (const auto& [syntax, answer] : kAnswers) {
    const SplitterOptions options = OptionsOf(syntax);
    OutputSplitter splitter(options);
    splitter.Prime(
        ForcedOpening({.kind = ToolChoice::Kind::kNamed, .name = "get"}, options.format, "prompt"));
    std::vector<Event> events = splitter.Add(answer);
    for (Event& event : splitter.Finish()) events.push_back(std::move(event));
    const std::string told = Told(events);
    EXPECT_TRUE(told == "[0: get]{\"days\": 1};" || told == "[0: get]{\"days\":1};")
        << static_cast<int>(syntax) << ": " << told;
  }
}

TEST(OutputSplitter, BehindTheOneCallThatIsWantedNothingCounts) {
  for (const Fixture& fixture : kGoodCalls) {
    SplitterOptions options = OptionsOf(fixture.syntax);
    options.one_call = true;
    const size_t end = fixture.told.find(';') + 1;
    EXPECT_EQ(ToldOfAnyCut(options, fixture.text), fixture.told.substr(0, end)) << fixture.text;
  }
}

}  // namespace
}  // namespace plimsoll::server::api::output
