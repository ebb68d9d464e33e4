#include "server/api/output/call_region.h"

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

constexpr std::string_view kTaggedOpeners[] = {kToolCall};
constexpr std::string_view kXmlOpeners[] = {kToolCall, kFunction};
constexpr std::string_view kMistralOpeners[] = {kMistralCalls};
constexpr std::string_view kLlamaOpeners[] = {kPythonTag};
constexpr std::string_view kDeepSeekOpeners[] = {kDeepSeekCalls, kDeepSeekCall};
constexpr std::string_view kTaggedClosers[] = {kToolCallEnd};
constexpr std::string_view kDeepSeekClosers[] = {kDeepSeekCallEnd};

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

// <function=f><parameter=a>1</parameter></function>
void ReadXmlCall(RegionReader& in) {
  in.Expect(kFunction);
  const std::string name = in.Name({">"});
  in.Expect(">");
  ArgumentsText arguments;
  while (in.ok()) {
    in.PartialCall(name, arguments.open());
    in.Space();
    if (in.Skip("</function>")) {
      in.PartialCall(name, arguments.closed());
      in.CompleteCall();
      return;
    }
    in.Expect("<parameter=");
    const std::string key(in.Until({">"}).value_or(""));
    in.Expect(">");
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
    ReadXmlCall(in);
    return;
  }
  in.Space();
  const char first = in.Peek();
  if (first == '{') {
    in.JsonCall(false);
  } else if (first == '<') {
    ReadXmlCall(in);
  } else {
    ReadKeyValueCall(in);
    return;
  }
  if (in.ok() && in.SkipLast(kToolCallEnd)) in.Commit();
}

// [{"name": ...}, ...], or the name before [ARGS] and the arguments.
void ReadMistral(RegionReader& in) {
  in.Expect(kMistralCalls);
  in.Space();
  const char first = in.Peek();
  if (first == '{') {
    in.JsonCall(false);
  } else if (first == '[') {
    in.Expect("[");
    do {
      in.Space();
      in.JsonCall(false);
    } while (in.ok() && in.SkipLast(","));
    if (in.ok() && in.SkipLast("]")) in.Commit();
  } else {
    const std::string name = in.Name({"[", "{"});
    if (in.Skip("[CALL_ID]")) (void)in.Until({"[ARGS]"});
    (void)in.Skip("[ARGS]");
    in.Arguments(name);
    in.CompleteCall();
  }
}

// One object after another, with ";" between them.
void ReadLlama(RegionReader& in) {
  const bool tagged = in.Skip(kPythonTag);
  do {
    in.Space();
    in.JsonCall(!tagged);
  } while (in.ok() && in.SkipLast(";"));
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
    case ToolSyntax::kDeepSeek:
    case ToolSyntax::kDeepSeekV31:
      return kDeepSeekOpeners;
    case ToolSyntax::kHarmony:
      break;
  }
  return {};
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
