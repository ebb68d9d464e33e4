// How a family of models writes tool calls and reasoning into its text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/task.h"

namespace plimsoll::server::api::output {

enum class ToolSyntax : uint8_t {
  kHermes,       // <tool_call>{"name": "f", "arguments": {...}}</tool_call>
  kQwenXml,      // <tool_call><function=f><parameter=a>1</parameter></function></tool_call>
  kMistral,      // [TOOL_CALLS][{"name": "f", "arguments": {...}}]
  kMistralArgs,  // [TOOL_CALLS]f[ARGS]{...}
  kLlama,        // {"name": "f", "parameters": {...}}, or that behind <|python_tag|>
  kHarmony,      // <|channel|>commentary to=functions.f<|message|>{...}<|call|>
  kDeepSeek,  // <｜tool▁call▁begin｜>function<｜tool▁sep｜>f and the arguments in a fenced block
  kDeepSeekV31,  // <｜tool▁call▁begin｜>f<｜tool▁sep｜>{...}<｜tool▁call▁end｜>
  kCallList,     // <|tool_call|>[{"name": "f", "arguments": {...}}]
  kPythonic,     // [f(a="x", b=1)]
  kGemma,        // <|tool_call>call:f{a:<|"|>x<|"|>,b:1}<tool_call|>
  kMinimax,      // <minimax:tool_call><invoke name="f"><parameter name="a">1</parameter></invoke>
  kGlm,          // <tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>
};

struct OutputFormat {
  ToolSyntax tools = ToolSyntax::kHermes;
  // False: the template does nothing with `tools`; the conversation is to go through
  // WithGenericTools first, and the answer is Hermes'.
  bool template_has_tools = false;
  // False: it does nothing with calls in messages, which are to be a part of their text.
  bool template_has_calls = false;
  // It takes the tools from a member of the system message.
  bool tools_in_system = false;
  // It takes results from the message with their calls, and knows no messages of role "tool".
  bool results_in_calls = false;
  // What reasoning stands between, "<think>" and "</think>"; both empty: the model has none, or
  // harmony's channels.
  std::string reasoning_open;
  std::string reasoning_close;
  // What the answer itself may stand between, "<response>" and "</response>"; both empty: nothing.
  std::string answer_open;
  std::string answer_close;
  // The marks are control tokens, so the text to be split must show them (render_control).
  bool shows_control_tokens = false;
};

// By the source of the model's chat template; "" when it has none.
[[nodiscard]] OutputFormat FindOutputFormat(std::string_view template_source);

// Whether a rendered prompt ends within reasoning that the model is to go on with.
[[nodiscard]] bool EndsInReasoning(const OutputFormat& format, std::string_view prompt);

// What to append to a rendered prompt so that the model cannot but call a tool, for tool choices
// kRequired and kNamed; it is also the first text that the splitter is given. "" for others.
[[nodiscard]] std::string ForcedOpening(const ToolChoice& choice, const OutputFormat& format,
                                        std::string_view prompt);

// How a call is written: `opening`, a name, `bridge`, the arguments, `closing`. Of formats whose
// arguments are a JSON object; for others it says only how they begin.
struct CallSpelling {
  std::string opening;
  std::string bridge;
  std::string closing;
};
[[nodiscard]] CallSpelling SpellCall(ToolSyntax syntax);

// A conversation as a template that knows tools takes it: in its system message, or with its calls
// written out as the model writes them, or with results in the messages of their calls.
[[nodiscard]] Conversation ForTemplate(Conversation conversation, const OutputFormat& format);

// The instruction that tells a model of tools when its template cannot.
[[nodiscard]] std::string GenericToolPrompt(std::span<const Tool> tools, const ToolChoice& choice,
                                            bool parallel);

// A conversation for a template that knows no tools: the instruction is in its system message,
// calls and their results are text, and no tools, calls or role "tool" are left.
[[nodiscard]] Conversation WithGenericTools(Conversation conversation);

}  // namespace plimsoll::server::api::output
