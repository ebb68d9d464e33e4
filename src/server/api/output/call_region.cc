#include "server/api/output/call_region.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/api/output/json_scan.h"
#include "server/api/output/region_reader.h"

namespace plimsoll::server::api::output {
namespace {

// The marks as the families' chat templates and model cards spell them.
constexpr std::string_view kToolCall = "<tool_call>";
constexpr std::string_view kToolCallEnd = "</tool_call>";
constexpr std::string_view kFunction = "<function=";
constexpr std::string_view kMistralCalls = "[TOOL_CALLS]";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr std::string_view kDeepSeekCalls = "<｜tool▁calls▁begin｜>";
constexpr std::string_view kDeepSeekCallsEnd = "<｜tool▁calls▁end｜>";
constexpr std::string_view kDeepSeekCall = "<｜tool▁call▁begin｜>";
constexpr std::string_view kDeepSeekCallEnd = "<｜tool▁call▁end｜>";
constexpr std::string_view kDeepSeekSep = "<｜tool▁sep｜>";

constexpr std::string_view kPythonStart = "<|python_start|>";
constexpr std::string_view kPythonEnd = "<|python_end|>";
constexpr std::string_view kCallList = "<|tool_call|>";
constexpr std::string_view kCallListEnd = "<|/tool_call|>";
constexpr std::string_view kGemmaCall = "<|tool_call>";
constexpr std::string_view kGemmaCallEnd = "<tool_call|>";
constexpr std::string_view kMinimaxCalls = "<minimax:tool_call>";
constexpr std::string_view kMinimaxCallsEnd = "</minimax:tool_call>";

constexpr std::string_view kTaggedOpeners[] = {kToolCall};
constexpr std::string_view kXmlOpeners[] = {kToolCall, kFunction};
constexpr std::string_view kMistralOpeners[] = {kMistralCalls};
constexpr std::string_view kLlamaOpeners[] = {kPythonTag, kPythonStart};
constexpr std::string_view kPythonOpeners[] = {kPythonStart};
constexpr std::string_view kCallListOpeners[] = {kCallList};
constexpr std::string_view kGemmaOpeners[] = {kGemmaCall};
constexpr std::string_view kMinimaxOpeners[] = {kMinimaxCalls};
constexpr std::string_view kDeepSeekOpeners[] = {kDeepSeekCalls, kDeepSeekCall};
constexpr std::string_view kTaggedClosers[] = {kToolCallEnd};
constexpr std::string_view kDeepSeekClosers[] = {kDeepSeekCallEnd};
constexpr std::string_view kCallListClosers[] = {kCallListEnd};
constexpr std::string_view kGemmaClosers[] = {kGemmaCallEnd};
constexpr std::string_view kPythonClosers[] = {"]"};
constexpr std::string_view kMinimaxClosers[] = {kMinimaxCallsEnd};

// A value that stands between tags as JSON: as it is when the tool's schema does not say that it is
// a string and it reads as JSON, else as a string.
std::string ValueJson(const Tool* tool, std::string_view key, std::string_view text) {
  const auto type = tool == nullptr ? text::jinja::Value()
                                    : tool->definition.Get("function")
                                          .Get("parameters")
                                          .Get("properties")
                                          .Get(key)
                                          .Get("type");
  const bool is_string = type.is(text::jinja::Kind::kString) && type.string() == "string";
  return !is_string && IsJson(text, false) ? std::string(text) : QuoteJson(text);
}

// One line break at either end belongs to the tags.
std::string_view WithoutBreaks(std::string_view text) {
  if (text.starts_with('\n')) text.remove_prefix(1);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

// An object that grows by members.
class ArgumentsText {
 public:
  void Add(std::string_view key, std::string_view json) {
    text_ += fmt::format("{}{}:{}", text_.size() > 1 ? "," : "", QuoteJson(key), json);
  }
  [[nodiscard]] const std::string& open() const { return text_; }
  [[nodiscard]] std::string closed() const { return text_ + "}"; }

 private:
  std::string text_ = "{";
};

struct XmlMarks {
  std::string_view function, parameter;  // before a name and a key
  std::string_view name_end;             // behind these
  std::string_view end;                  // of the call
};
// <function=f><parameter=a>1</parameter></function>
constexpr XmlMarks kFunctionMarks = {kFunction, "<parameter=", ">", "</function>"};
// <invoke name="f"><parameter name="a">1</parameter></invoke>
constexpr XmlMarks kInvokeMarks = {"<invoke name=\"", "<parameter name=\"", "\">", "</invoke>"};

void ReadXmlCall(RegionReader& in, const XmlMarks& marks) {
  in.Expect(marks.function);
  const std::string name = in.Name({marks.name_end});
  in.Expect(marks.name_end);
  ArgumentsText arguments;
  while (in.ok()) {
    in.PartialCall(name, arguments.open());
    in.Space();
    if (in.Skip(marks.end)) {
      in.PartialCall(name, arguments.closed());
      in.CompleteCall();
      return;
    }
    in.Expect(marks.parameter);
    const std::string key(in.Until({marks.name_end}).value_or(""));
    in.Expect(marks.name_end);
    const std::string_view value = WithoutBreaks(in.Until({"</parameter>"}).value_or(""));
    in.Expect("</parameter>");
    if (in.ok()) arguments.Add(key, ValueJson(in.FindTool(name), key, value));
  }
}

// f<arg_key>a</arg_key><arg_value>1</arg_value>, up to </tool_call>
void ReadKeyValueCall(RegionReader& in) {
  const std::string name = in.Name({"\n", "<"});
  ArgumentsText arguments;
  while (in.ok()) {
    in.PartialCall(name, arguments.open());
    in.Space();
    if (in.Skip(kToolCallEnd)) {
      in.PartialCall(name, arguments.closed());
      in.CompleteCall();
      return;
    }
    in.Expect("<arg_key>");
    const std::string key(in.Until({"</arg_key>"}).value_or(""));
    in.Expect("</arg_key>");
    in.Space();
    in.Expect("<arg_value>");
    const std::string_view value = WithoutBreaks(in.Until({"</arg_value>"}).value_or(""));
    in.Expect("</arg_value>");
    if (in.ok()) arguments.Add(key, ValueJson(in.FindTool(name), key, value));
  }
}

// <tool_call> and one of the three things that models of different families put into it.
void ReadTagged(RegionReader& in) {
  if (!in.Skip(kToolCall)) {
    ReadXmlCall(in, kFunctionMarks);
    return;
  }
  in.Space();
  const char first = in.Peek();
  if (first == '{') {
    in.JsonCall(false);
  } else if (first == '<') {
    ReadXmlCall(in, kFunctionMarks);
  } else {
    ReadKeyValueCall(in);
    return;
  }
  if (in.ok() && in.SkipLast(kToolCallEnd)) in.Commit();
}

// [{"name": ...}, ...]
void ReadList(RegionReader& in) {
  in.Expect("[");
  do {
    in.Space();
    in.JsonCall(false);
  } while (in.ok() && in.SkipLast(","));
  if (in.ok() && in.SkipLast("]")) in.Commit();
}

// That, or the name before [ARGS] and the arguments.
void ReadMistral(RegionReader& in) {
  in.Expect(kMistralCalls);
  in.Space();
  const char first = in.Peek();
  if (first == '{') {
    in.JsonCall(false);
  } else if (first == '[') {
    ReadList(in);
  } else {
    const std::string name = in.Name({"[", "{"});
    if (in.Skip("[CALL_ID]")) (void)in.Until({"[ARGS]"});
    (void)in.Skip("[ARGS]");
    in.Arguments(name);
    in.CompleteCall();
  }
}

// Granite's and Phi's: the list, or a single call.
void ReadCallList(RegionReader& in) {
  in.Expect(kCallList);
  in.Space();
  in.Peek() == '{' ? in.JsonCall(false) : ReadList(in);
  if (in.ok() && in.SkipLast(kCallListEnd)) in.Commit();
}

// One object after another, with ";" between them.
void ReadLlama(RegionReader& in) {
  bool starts = in.Skip(kPythonStart);
  const bool tagged = starts || in.Skip(kPythonTag);
  if (starts && in.ok()) {  // perhaps with nothing between its marks
    in.Space();
    starts = !in.Skip(kPythonEnd);
  }
  do {
    in.Space();
    in.JsonCall(!tagged);
  } while (in.ok() && in.SkipLast(";"));
  if (starts && in.ok() && in.SkipLast(kPythonEnd)) in.Commit();
}

bool IsName(std::string_view text) {
  const auto is_of_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !text.empty() && std::ranges::all_of(text, is_of_name);
}

// a: 1, b: 2 up to `end`, with `is` between a name and its value.
void ReadMembers(RegionReader& in, const std::string& name, std::string_view is,
                 std::string_view end) {
  ArgumentsText arguments;
  while (in.ok()) {
    in.PartialCall(name, arguments.open());
    in.Space();
    if (in.Skip(end)) {
      in.PartialCall(name, arguments.closed());
      in.CompleteCall();
      return;
    }
    const std::string key(in.Until({is}).value_or(""));
    if (in.ok() && !IsName(key)) in.Fail();
    in.Expect(is);
    in.Space();
    const std::string value = in.LiteralValue();
    if (in.ok()) arguments.Add(key, value);
    in.Space();
    if (!in.Skip(",") && in.ok()) {
      in.PartialCall(name, arguments.open());
      in.Expect(end);
      if (!in.ok()) return;
      in.PartialCall(name, arguments.closed());
      in.CompleteCall();
      return;
    }
  }
}

// [f(a="x", b=1), g()]
void ReadPythonic(RegionReader& in) {
  const bool starts = in.Skip(kPythonStart);
  in.Space();
  in.Expect("[");
  do {
    in.Space();
    const std::string name = in.Name({"("});
    in.Expect("(");
    ReadMembers(in, name, "=", ")");
  } while (in.ok() && in.SkipLast(","));
  if (in.ok() && in.SkipLast("]")) in.Commit();
  if (starts && in.ok() && in.SkipLast(kPythonEnd)) in.Commit();
}

void ReadGemma(RegionReader& in) {
  in.Expect(kGemmaCall);
  in.Expect("call:");
  const std::string name = in.Name({"{"});
  in.Expect("{");
  ReadMembers(in, name, ":", "}");
  if (in.ok() && in.SkipLast(kGemmaCallEnd)) in.Commit();
}

void ReadMinimax(RegionReader& in) {
  in.Expect(kMinimaxCalls);
  do {
    in.Space();
    ReadXmlCall(in, kInvokeMarks);
    in.Space();
  } while (in.ok() && in.Peek() == '<' && !in.Skip(kMinimaxCallsEnd));
  if (in.ok()) in.Commit();
}

void ReadDeepSeekCall(RegionReader& in) {
  in.Expect(kDeepSeekCall);
  std::string name;
  if (in.Skip("function<｜tool▁sep｜>")) {
    name = in.Name({"\n"});
    in.Space();
    in.Expect("```json");
    in.Arguments(name);
    in.Space();
    in.Expect("```");
  } else {
    name = in.Name({kDeepSeekSep});
    in.Expect(kDeepSeekSep);
    in.Arguments(name);
  }
  in.Space();
  in.Expect(kDeepSeekCallEnd);
  in.CompleteCall();
}

void ReadDeepSeek(RegionReader& in) {
  (void)in.Skip(kDeepSeekCalls);
  do {
    in.Space();
    ReadDeepSeekCall(in);
    in.Space();
  } while (in.ok() && in.Peek() == '<' && !in.Skip(kDeepSeekCallsEnd));
  if (in.ok()) in.Commit();
}

}  // namespace

std::span<const std::string_view> CallOpeners(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
    case ToolSyntax::kGlm:
      return kTaggedOpeners;
    case ToolSyntax::kQwenXml:
      return kXmlOpeners;
    case ToolSyntax::kMistral:
    case ToolSyntax::kMistralArgs:
      return kMistralOpeners;
    case ToolSyntax::kLlama:
      return kLlamaOpeners;
    case ToolSyntax::kPythonic:
      return kPythonOpeners;
    case ToolSyntax::kCallList:
      return kCallListOpeners;
    case ToolSyntax::kGemma:
      return kGemmaOpeners;
    case ToolSyntax::kMinimax:
      return kMinimaxOpeners;
    case ToolSyntax::kDeepSeek:
    case ToolSyntax::kDeepSeekV31:
      return kDeepSeekOpeners;
    case ToolSyntax::kHarmony:
      break;
  }
  return {};
}

std::string_view BareCall(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kLlama:
      return "{";
    case ToolSyntax::kPythonic:
      return "[";
    default:
      return "";
  }
}

std::span<const std::string_view> CallClosers(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
    case ToolSyntax::kGlm:
    case ToolSyntax::kQwenXml:
      return kTaggedClosers;
    case ToolSyntax::kMistral:
    case ToolSyntax::kMistralArgs:
      return kMistralOpeners;
    case ToolSyntax::kDeepSeek:
    case ToolSyntax::kDeepSeekV31:
      return kDeepSeekClosers;
    case ToolSyntax::kCallList:
      return kCallListClosers;
    case ToolSyntax::kGemma:
      return kGemmaClosers;
    case ToolSyntax::kMinimax:
      return kMinimaxClosers;
    case ToolSyntax::kPythonic:
      return kPythonClosers;
    case ToolSyntax::kLlama:
    case ToolSyntax::kHarmony:
      break;
  }
  return {};
}

Region ParseRegion(ToolSyntax syntax, std::span<const Tool> tools, std::string_view text,
                   bool at_end) {
  RegionReader in(tools, text, at_end);
  switch (syntax) {
    case ToolSyntax::kHermes:
    case ToolSyntax::kGlm:
    case ToolSyntax::kQwenXml:
      ReadTagged(in);
      break;
    case ToolSyntax::kMistral:
    case ToolSyntax::kMistralArgs:
      ReadMistral(in);
      break;
    case ToolSyntax::kLlama:
      ReadLlama(in);
      break;
    case ToolSyntax::kPythonic:
      ReadPythonic(in);
      break;
    case ToolSyntax::kCallList:
      ReadCallList(in);
      break;
    case ToolSyntax::kGemma:
      ReadGemma(in);
      break;
    case ToolSyntax::kMinimax:
      ReadMinimax(in);
      break;
    case ToolSyntax::kDeepSeek:
    case ToolSyntax::kDeepSeekV31:
      ReadDeepSeek(in);
      break;
    case ToolSyntax::kHarmony:
      in.Fail();
      break;
  }
  return std::move(in).Finish();
}

Region ParseArguments(std::string_view name, std::string_view text, bool at_end) {
  RegionReader in({}, text, at_end);
  in.Arguments(std::string(name));
  in.CompleteCall();
  return std::move(in).Finish();
}

}  // namespace plimsoll::server::api::output
