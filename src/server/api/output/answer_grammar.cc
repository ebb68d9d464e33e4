#include "server/api/output/answer_grammar.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/json_text.h"
#include "base/thread_time.h"
#include "grammar/gbnf.h"
#include "grammar/grammar_builder.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "grammar/vocabulary_trie.h"
#include "server/api/output/value_json.h"

namespace plimsoll::server::api::output {
namespace {

using grammar::ByteSet;
using grammar::Grammar;
using grammar::GrammarBuilder;
using grammar::GrammarLimits;
using grammar::RuleId;
using grammar::Sequence;
using grammar::Symbol;
using text::jinja::Kind;
using text::jinja::Value;

// Of all parts of one answer together.
constexpr double kMaxCpuSeconds = 0.2;

ApiError ToApiError(const Error& error, const std::string& param) {
  const bool too_large = error.kind == ErrorKind::kDoesNotFit;
  return {.status = too_large ? 422U : 400U,
          .message = fmt::format("'{}' cannot be followed: {}", param, error.message),
          .code = too_large ? "schema_too_complex" : "unsupported_value",
          .param = param,
          .retry_after_seconds = std::nullopt};
}

ByteSet TextBytes() {
  ByteSet set;
  set.set();
  set.reset(static_cast<uint8_t>(grammar::kControlByte));
  return set;
}

// How much of `mark` a text ends with when it ended with `n` bytes of it and `byte` comes.
size_t NextOverlap(std::string_view mark, size_t n, char byte) {
  std::string text(mark.substr(0, n));
  text += byte;
  for (size_t k = std::min(text.size(), mark.size()); k > 0; --k) {
    if (std::string_view(text).ends_with(mark.substr(0, k))) return k;
  }
  return 0;
}

// Puts the parts of an answer together.
class AnswerBuilder {
 public:
  explicit AnswerBuilder(const AnswerForm& form)
      : form_(form), builder_(GrammarLimits{.max_symbols = 400'000}) {}

  ApiResult<Grammar> Build();

 private:
  enum class Until { kEnd, kMark };

  ApiResult<Symbol> Content();
  ApiResult<Symbol> ContentOf(const Constraint& constraint);
  ApiResult<Symbol> Call(const CallForm& call);
  ApiResult<Symbol> Arguments(const CallForm& call);
  ApiResult<Symbol> Calls();
  Symbol Reasoning();
  Symbol HarmonyReasoning();
  Symbol Text(std::string_view mark, Until until);
  Symbol Space();
  Symbol Optional(const Symbol& symbol) { return builder_.Repeat(symbol, 0, 1); }
  void AppendMarked(Sequence& sequence, std::string_view text);
  Symbol Marked(std::string_view text);
  Symbol Embed(const Grammar& part);
  GrammarLimits Limits();
  [[nodiscard]] bool is_harmony() const { return form_.format.tools == ToolSyntax::kHarmony; }

  const AnswerForm& form_;
  GrammarBuilder builder_;
  const double start_ = ThreadSeconds();
};

// What is left of the time.
GrammarLimits AnswerBuilder::Limits() {
  GrammarLimits limits;
  const double left = kMaxCpuSeconds - (ThreadSeconds() - start_);
  limits.max_cpu_seconds = std::clamp(left, 0.0, limits.max_cpu_seconds);
  return limits;
}

Symbol AnswerBuilder::Embed(const Grammar& part) {
  std::vector<RuleId> rules;
  for (size_t i = 0; i < part.rules.size(); ++i) rules.push_back(builder_.Declare());
  for (size_t i = 0; i < part.rules.size() && !builder_.is_full(); ++i) {
    for (Sequence sequence : part.rules[i].alternatives) {
      for (Symbol& symbol : sequence) {
        symbol.index = symbol.kind == Symbol::Kind::kRule
                           ? rules[symbol.index]
                           : builder_.Bytes(part.byte_sets[symbol.index]).index;
      }
      builder_.Add(rules[i], std::move(sequence));
    }
  }
  return GrammarBuilder::Reference(rules[part.root]);
}

// Control tokens in it are said as such, or spelled.
void AnswerBuilder::AppendMarked(Sequence& sequence, std::string_view text) {
  while (!text.empty()) {
    std::string_view longest;
    for (const std::string& control : form_.control) {
      if (text.starts_with(control) && control.size() > longest.size()) longest = control;
    }
    if (longest.empty()) {
      sequence.push_back(builder_.Byte(text.front()));
      text.remove_prefix(1);
      continue;
    }
    Sequence spelled;
    builder_.AppendText(spelled, longest);
    Sequence control = {builder_.Byte(grammar::kControlByte)};
    builder_.AppendText(control, longest);
    sequence.push_back(builder_.Alternatives({std::move(spelled), std::move(control)}));
    text.remove_prefix(longest.size());
  }
}

Symbol AnswerBuilder::Marked(std::string_view text) {
  Sequence sequence;
  AppendMarked(sequence, text);
  return builder_.Concatenation(std::move(sequence));
}

Symbol AnswerBuilder::Space() {
  ByteSet set;
  for (const char byte : {' ', '\n', '\r', '\t'}) set.set(static_cast<uint8_t>(byte));
  return builder_.Repeat(builder_.Bytes(set), 0, 8);
}

// Any text in which `mark` is not, up to the answer's end; or up to the mark, which belongs to it.
// A rule for each beginning of the mark that the text may end with just now; every one is the last
// symbol of another, so that the stack does not grow.
Symbol AnswerBuilder::Text(std::string_view mark, Until until) {
  if (mark.empty()) return builder_.Repeat(builder_.Bytes(TextBytes()), 0, grammar::kUnbounded);
  std::vector<RuleId> rules;
  for (size_t n = 0; n < mark.size(); ++n) rules.push_back(builder_.Declare());
  const bool is_control = std::ranges::find(form_.control, mark) != form_.control.end();
  for (size_t n = 0; n < mark.size(); ++n) {
    std::vector<ByteSet> sets(mark.size() + 1);
    for (size_t byte = 0; byte < 256; ++byte) {
      if (TextBytes().test(byte)) {
        sets[NextOverlap(mark, n, static_cast<char>(byte))].set(byte);
      }
    }
    for (size_t to = 0; to < mark.size(); ++to) {
      if (sets[to].any()) {
        builder_.Add(rules[n], {builder_.Bytes(sets[to]), GrammarBuilder::Reference(rules[to])});
      }
    }
    if (until == Until::kEnd) {
      builder_.Add(rules[n], {});
    } else if (sets[mark.size()].any()) {
      builder_.Add(rules[n], {builder_.Bytes(sets[mark.size()])});
    }
    if (until == Until::kMark && is_control) {
      Sequence control = {builder_.Byte(grammar::kControlByte)};
      builder_.AppendText(control, mark);
      builder_.Add(rules[n], std::move(control));
    }
  }
  return GrammarBuilder::Reference(rules.front());
}

Symbol AnswerBuilder::HarmonyReasoning() {
  const Symbol block =
      builder_.Concatenation({Marked("<|channel|>analysis<|message|>"),
                              Text("<|end|>", Until::kMark), Marked("<|start|>assistant")});
  return Optional(block);
}

Symbol AnswerBuilder::Reasoning() {
  if (is_harmony()) return HarmonyReasoning();
  const OutputFormat& format = form_.format;
  if (format.reasoning_close.empty() || (!form_.in_reasoning && !form_.may_reason)) {
    return builder_.Concatenation({});
  }
  Sequence rest = {Text(format.reasoning_close, Until::kMark), Space()};
  if (form_.in_reasoning) return builder_.Concatenation(std::move(rest));
  Sequence whole;
  AppendMarked(whole, format.reasoning_open);
  whole.insert(whole.end(), rest.begin(), rest.end());
  return Optional(builder_.Concatenation(std::move(whole)));
}

ApiResult<Symbol> AnswerBuilder::ContentOf(const Constraint& constraint) {
  Result<Grammar> part = Grammar{};
  switch (constraint.kind) {
    case Constraint::Kind::kJsonObject:
      part = grammar::CompileJsonObject();
      break;
    case Constraint::Kind::kJsonSchema:
      part = grammar::CompileJsonSchema(constraint.source, Limits());
      break;
    case Constraint::Kind::kRegex:
      part = grammar::CompileRegex(constraint.source, Limits());
      break;
    case Constraint::Kind::kGbnf:
      part = grammar::CompileGbnf(constraint.source, Limits());
      break;
    case Constraint::Kind::kChoice: {
      std::vector<Sequence> texts;
      for (const std::string& choice : constraint.choices) {
        Sequence text;
        builder_.AppendText(text, choice);
        texts.push_back(std::move(text));
      }
      return builder_.Alternatives(std::move(texts));
    }
  }
  if (!part) return tl::make_unexpected(ToApiError(part.error(), constraint.param));
  return Embed(*part);
}

// The mark with which calls begin; "" where they have none.
std::string_view CallMark(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kHermes:
      return "<tool_call>";
    case ToolSyntax::kMistral:
    case ToolSyntax::kMistralArgs:
      return "[TOOL_CALLS]";
    case ToolSyntax::kDeepSeek:
    case ToolSyntax::kDeepSeekV31:
      return "<｜tool▁calls▁begin｜>";
    case ToolSyntax::kCallList:
      return "<|tool_call|>";
    default:
      return "";
  }
}

ApiResult<Symbol> AnswerBuilder::Content() {
  ApiResult<Symbol> content =
      form_.content ? ContentOf(*form_.content) : Text(CallMark(form_.format.tools), Until::kEnd);
  // Of calls without a mark it is known by its first byte that a text is none.
  if (!form_.content && form_.format.tools == ToolSyntax::kLlama) {
    ByteSet first = TextBytes();
    first.reset('{');
    const Symbol text =
        builder_.Concatenation({builder_.Bytes(first), Text("<|python_tag|>", Until::kEnd)});
    content = Optional(text);
  }
  if (!content || !is_harmony()) return content;
  return builder_.Concatenation({Marked("<|channel|>final<|message|>"), *content});
}

ApiResult<Symbol> AnswerBuilder::Arguments(const CallForm& call) {
  auto arguments = grammar::CompileJsonSchema(call.schema, Limits());
  if (arguments) return Embed(*arguments);
  if (call.strict) return tl::make_unexpected(ToApiError(arguments.error(), call.param));
  auto any = grammar::CompileJsonObject();
  if (!any) return tl::make_unexpected(ToApiError(any.error(), call.param));
  return Embed(*any);
}

ApiResult<Symbol> AnswerBuilder::Call(const CallForm& call) {
  const CallSpelling spelling = SpellCall(form_.format.tools);
  auto arguments = Arguments(call);
  if (!arguments) return arguments;
  Sequence sequence;
  if (!form_.name_is_said) {
    builder_.AppendText(sequence, call.name);
    AppendMarked(sequence, spelling.bridge);
  }
  sequence.push_back(*arguments);
  AppendMarked(sequence, spelling.closing);
  return builder_.Concatenation(std::move(sequence));
}

// Behind what stands before a name.
ApiResult<Symbol> AnswerBuilder::Calls() {
  std::vector<Sequence> calls;
  for (const CallForm& form : form_.calls) {
    auto call = Call(form);
    if (!call) return call;
    calls.push_back({*call});
  }
  return builder_.Alternatives(std::move(calls));
}

ApiResult<Grammar> AnswerBuilder::Build() {
  const RuleId root = builder_.Declare();
  std::vector<Sequence> parts;
  const std::string opening = SpellCall(form_.format.tools).opening;
  Symbol call;
  if (!form_.calls.empty()) {
    auto calls = Calls();
    if (!calls) return tl::make_unexpected(std::move(calls).error());
    call = *calls;
  }
  if (form_.calls_only) {
    builder_.Add(root, {call});
  } else {
    auto content = Content();
    if (!content) return tl::make_unexpected(std::move(content).error());
    const Symbol reasoning = Reasoning();
    if (form_.calls.empty()) {
      builder_.Add(root, {reasoning, *content});
    } else {
      Sequence whole;
      AppendMarked(whole, opening);
      whole.push_back(call);
      const Symbol one = builder_.Concatenation(std::move(whole));
      const Symbol more = builder_.Concatenation({Space(), one});
      const Symbol all = builder_.Concatenation(
          {one, builder_.Repeat(more, 0, form_.many_calls ? grammar::kUnbounded : 0)});
      // Text may stand before calls that have a mark, unless it has a form of its own.
      const bool after_text = !form_.content && !CallMark(form_.format.tools).empty();
      if (after_text) {
        builder_.Add(root, {reasoning, *content, Optional(all)});
      } else {
        builder_.Add(root, {reasoning, builder_.Alternatives({{*content}, {all}})});
      }
    }
  }
  if (builder_.is_full()) {
    const std::string param = form_.content ? form_.content->param : "tools";
    return tl::make_unexpected(
        ToApiError({ErrorKind::kDoesNotFit, "the grammar of the answer is too large"}, param));
  }
  return builder_.Finish(root);
}

bool WritesJson(ToolSyntax syntax) {
  switch (syntax) {
    case ToolSyntax::kQwenXml:
    case ToolSyntax::kGlm:
    case ToolSyntax::kPythonic:
    case ToolSyntax::kGemma:
    case ToolSyntax::kMinimax:
      return false;
    default:
      return true;
  }
}

// A tool's schema says that its arguments are an object, or it is said here.
CallForm CallFormOf(const Tool& tool, size_t index) {
  const Value function = tool.definition.Get("function");
  const Value schema = function.Get("parameters");
  const Value strict = function.Get("strict");
  CallForm form = {.name = tool.name,
                   .schema = {},
                   .strict = strict.is(Kind::kBool) && strict.boolean(),
                   .param = fmt::format("tools[{}].function.parameters", index)};
  JsonText json;
  json.BeginObject();
  bool has_type = false;
  if (schema.is(Kind::kDict)) {
    for (const auto& [key, member] : schema.dict().members()) {
      has_type |= key == "type";
      json.Key(key);
      WriteTemplateValue(member, json);
    }
  }
  if (!has_type) json.Key("type").String("object");
  json.EndObject();
  form.schema = json.text();
  return form;
}

bool EndsReasoning(const OutputFormat& format, std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(" \t\r\n");
  return last != std::string_view::npos && !format.reasoning_close.empty() &&
         prompt.substr(0, last + 1).ends_with(format.reasoning_close);
}

}  // namespace

std::optional<AnswerForm> FindAnswerForm(const OutputFormat& format,
                                         const Conversation& conversation,
                                         const std::optional<Constraint>& content,
                                         std::string_view prompt) {
  AnswerForm form;
  form.format = format;
  form.content = content;
  form.in_reasoning = EndsInReasoning(format, prompt);
  form.may_reason =
      !form.in_reasoning && !format.reasoning_open.empty() && !EndsReasoning(format, prompt);
  const ToolChoice& choice = conversation.tool_choice;
  const bool named = choice.kind == ToolChoice::Kind::kNamed;
  form.calls_only = named || choice.kind == ToolChoice::Kind::kRequired;
  const bool offers = choice.kind != ToolChoice::Kind::kNone && WritesJson(format.tools);
  bool any_strict = false;
  for (size_t i = 0; offers && i < conversation.tools.size(); ++i) {
    const Tool& tool = conversation.tools[i];
    if (named && tool.name != choice.name) continue;
    form.calls.push_back(CallFormOf(tool, i));
    any_strict |= form.calls.back().strict;
  }
  if (form.calls_only) {
    if (form.calls.empty()) return std::nullopt;
    form.content.reset();
    form.name_is_said = named;
    form.said = named ? "{" : "";
    return form;
  }
  form.many_calls = conversation.parallel_tool_calls;
  return content || any_strict ? std::optional(std::move(form)) : std::nullopt;
}

AnswerForm PlainForm(const Constraint& content) {
  AnswerForm form;
  form.content = content;
  return form;
}

std::string KeyOf(const AnswerForm& form) {
  std::string key;
  const auto add = [&](std::string_view part) {
    key += fmt::format("{}:", part.size());
    key += part;
  };
  key += fmt::format("{}{}{}{}{}{}", static_cast<int>(form.format.tools), form.in_reasoning,
                     form.may_reason, form.calls_only, form.name_is_said, form.many_calls);
  add(form.format.reasoning_open);
  add(form.format.reasoning_close);
  for (const CallForm& call : form.calls) {
    key += call.strict ? 's' : 'c';
    add(call.name);
    add(call.schema);
  }
  if (form.content) {
    key += fmt::format("={}", static_cast<int>(form.content->kind));
    add(form.content->param);  // errors name it
    add(form.content->source);
    for (const std::string& choice : form.content->choices) add(choice);
  }
  return key;
}

ApiResult<grammar::Grammar> MakeAnswerGrammar(const AnswerForm& form) {
  return AnswerBuilder(form).Build();
}

}  // namespace plimsoll::server::api::output
