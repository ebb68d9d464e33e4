#include "server/api/output/output_format.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "server/api/output/json_scan.h"

namespace plimsoll::server::api::output {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

struct ReasoningMarks {
  std::string_view open;
  std::string_view close;
};
// As templates spell them.
constexpr ReasoningMarks kReasoningMarks[] = {
    {"<think>", "</think>"},              // DeepSeek R1, Qwen 3, GLM 4.5 and most others
    {"[THINK]", "[/THINK]"},              // Magistral
    {"<seed:think>", "</seed:think>"},    // Seed-OSS
    {"◁think▷", "◁/think▷"},              // Kimi-VL
    {"<|channel>thought", "<channel|>"},  // Gemma 4
    {"Here is my thought process:", "Here is my response:"},  // Granite 3.2
};

// Granite 3.3 writes its answer between these when it reasons; its template names them together.
// Others have them around the results of tools.
constexpr std::string_view kAnswerMarks = "<response></response>";
constexpr std::string_view kAnswerOpen = "<response>";
constexpr std::string_view kAnswerClose = "</response>";

struct Family {
  ToolSyntax syntax;
  std::string_view mark;   // in the template
  std::string_view other;  // as well, if it is not empty
  bool shows_control = false;
};
// The first that fits counts.
constexpr Family kFamilies[] = {
    {ToolSyntax::kHarmony, "<|channel|>", "<|message|>", true},
    {ToolSyntax::kMistralArgs, "[TOOL_CALLS]", "[ARGS]", true},
    {ToolSyntax::kMistral, "[TOOL_CALLS]", "", true},
    {ToolSyntax::kDeepSeek, "<｜tool▁call▁begin｜>", "```json", true},
    {ToolSyntax::kDeepSeekV31, "<｜tool▁call▁begin｜>", "", true},
    {ToolSyntax::kMinimax, "<minimax:tool_call>", "", false},
    {ToolSyntax::kGemma, "<|tool_call>call:", "", true},
    {ToolSyntax::kCallList, "<|tool_call|>", "", true},
    {ToolSyntax::kCallList, "<|tool|>", "message['tools']", true},  // Phi-4-mini
    {ToolSyntax::kQwenXml, "<function=", "<parameter=", false},
    {ToolSyntax::kGlm, "<arg_key>", "<tool_call>", false},
    {ToolSyntax::kHermes, "<tool_call>", "", false},
    {ToolSyntax::kLlama, "<|python_tag|>", "", true},
    {ToolSyntax::kLlama, "<|start_header_id|>", "\"parameters\"", true},
    // Llama 4's first template asks for JSON, the later one for Python.
    {ToolSyntax::kPythonic, "<|header_start|>", "func_name1(", true},
    {ToolSyntax::kLlama, "<|header_start|>", "\"parameters\"", true},
};

// Whether a template looks for messages of role "tool".
bool AsksForToolRole(std::string_view template_source) {
  constexpr std::string_view kQuestions[] = {"== 'tool'", "!= 'tool'", "== \"tool\"",
                                             "!= \"tool\""};
  return std::ranges::any_of(
      kQuestions, [&](std::string_view question) { return Contains(template_source, question); });
}

std::string_view WithoutSpaceBehind(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

// What stands before the name of a call.
std::string_view Opening(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
      return "<tool_call>\n{\"name\": \"";
    case ToolSyntax::kQwenXml:
      return "<tool_call>\n<function=";
    case ToolSyntax::kMistral:
      return "[TOOL_CALLS][{\"name\": \"";
    case ToolSyntax::kMistralArgs:
      return "[TOOL_CALLS]";
    case ToolSyntax::kLlama:
      return "{\"name\": \"";
    case ToolSyntax::kHarmony:
      return "<|channel|>commentary to=functions.";
    case ToolSyntax::kDeepSeek:
      return "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>";
    case ToolSyntax::kDeepSeekV31:
      return "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>";
    case ToolSyntax::kGlm:
      return "<tool_call>";
    case ToolSyntax::kCallList:
      return "<|tool_call|>[{\"name\": \"";
    case ToolSyntax::kPythonic:
      return "[";
    case ToolSyntax::kGemma:
      return "<|tool_call>call:";
    case ToolSyntax::kMinimax:
      return "<minimax:tool_call>\n<invoke name=\"";
  }
  return "";
}

// What stands between the name and the arguments, with their bracket where there is one.
std::string_view BehindName(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
    case ToolSyntax::kMistral:
    case ToolSyntax::kCallList:
      return "\", \"arguments\": {";
    case ToolSyntax::kQwenXml:
      return ">\n";
    case ToolSyntax::kMistralArgs:
      return "[ARGS]{";
    case ToolSyntax::kLlama:
      return "\", \"parameters\": {";
    case ToolSyntax::kHarmony:
      return " <|constrain|>json<|message|>{";
    case ToolSyntax::kDeepSeek:
      return "\n```json\n{";
    case ToolSyntax::kDeepSeekV31:
      return "<｜tool▁sep｜>{";
    case ToolSyntax::kGlm:
      return "\n";
    case ToolSyntax::kPythonic:
      return "(";
    case ToolSyntax::kGemma:
      return "{";
    case ToolSyntax::kMinimax:
      return "\">\n";
  }
  return "";
}

// What stands behind the arguments' object.
std::string_view BehindArguments(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
      return "}\n</tool_call>";
    case ToolSyntax::kMistral:
    case ToolSyntax::kCallList:
      return "}]";
    case ToolSyntax::kLlama:
      return "}";
    case ToolSyntax::kMistralArgs:
    case ToolSyntax::kHarmony:
      return "";
    case ToolSyntax::kDeepSeek:
      return "\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    case ToolSyntax::kDeepSeekV31:
      return "<｜tool▁call▁end｜><｜tool▁calls▁end｜>";
    case ToolSyntax::kQwenXml:
    case ToolSyntax::kGlm:
    case ToolSyntax::kPythonic:
    case ToolSyntax::kGemma:
    case ToolSyntax::kMinimax:
      break;
  }
  return "";
}

}  // namespace

OutputFormat FindOutputFormat(std::string_view template_source) {
  OutputFormat format;
  const bool has_tools = Contains(template_source, "tools");
  for (const Family& family : kFamilies) {
    if (!Contains(template_source, family.mark)) continue;
    if (!family.other.empty() && !Contains(template_source, family.other)) continue;
    // Harmony's channels are there without any tools.
    if (!has_tools && family.syntax != ToolSyntax::kHarmony) continue;
    format.tools = family.syntax;
    format.template_has_tools = has_tools;
    format.shows_control_tokens = family.shows_control;
    format.template_has_calls = Contains(template_source, "tool_calls");
    format.tools_in_system = Contains(template_source, "message['tools']");
    format.results_in_calls =
        Contains(template_source, "tool_responses") && !AsksForToolRole(template_source);
    break;
  }
  for (const ReasoningMarks& marks : kReasoningMarks) {
    if (format.tools == ToolSyntax::kHarmony) break;
    if (Contains(template_source, marks.open) || Contains(template_source, marks.close)) {
      format.reasoning_open = marks.open;
      format.reasoning_close = marks.close;
      break;
    }
  }
  if (Contains(template_source, kAnswerMarks)) {
    format.answer_open = kAnswerOpen;
    format.answer_close = kAnswerClose;
  }
  return format;
}

bool EndsInReasoning(const OutputFormat& format, std::string_view prompt) {
  return !format.reasoning_open.empty() &&
         WithoutSpaceBehind(prompt).ends_with(format.reasoning_open);
}

std::string ForcedOpening(const ToolChoice& choice, const OutputFormat& format,
                          std::string_view prompt) {
  const bool named = choice.kind == ToolChoice::Kind::kNamed;
  if (!named && choice.kind != ToolChoice::Kind::kRequired) return "";
  std::string opening;
  if (EndsInReasoning(format, prompt)) opening = fmt::format("{}\n\n", format.reasoning_close);
  opening += Opening(format.tools);
  if (named) {
    opening += choice.name;
    opening += BehindName(format.tools);
  }
  return opening;
}

CallSpelling SpellCall(ToolSyntax syntax) {
  std::string_view bridge = BehindName(syntax);
  if (bridge.ends_with('{')) bridge.remove_suffix(1);
  return {.opening = std::string(Opening(syntax)),
          .bridge = std::string(bridge),
          .closing = std::string(BehindArguments(syntax))};
}

}  // namespace plimsoll::server::api::output
