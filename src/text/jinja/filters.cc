// Filters, as the reference has them: what applies depends on the kind of the value and on whether
// the filter is written with parentheses.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "text/jinja/extra_filters.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

// The integer or float at the start of a text, or NaN.
double LeadingNumber(std::string_view text, bool integer) {
  text = TrimStart(text);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (!integer && text.starts_with("Infinity")) return negative ? -HUGE_VAL : HUGE_VAL;
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (integer) text = text.substr(0, end);
  double number = std::nan("");
  const bool starts = !text.empty() &&
                      (IsDigit(text[0]) || (text[0] == '.' && text.size() > 1 && IsDigit(text[1])));
  if (!starts) return number;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  if (result.ec == std::errc::result_out_of_range) number = HUGE_VAL;
  return negative ? -number : number;
}

Value NumberOfText(const Value& text, bool integer, const Value& otherwise) {
  const double number = LeadingNumber(text.string(), integer);
  if (std::isnan(number)) return otherwise;
  return integer ? IntegerFrom(number) : Value(number);
}

Value JsonText(const Value& value, const JsonOptions& options, Budget& budget) {
  Buffer out(budget);
  PrintJson(value, options, out);
  return out.TakeValue();
}

bool Flag(const CallArguments& arguments, size_t index, std::string_view name) {
  const Value* flag = arguments.Find(index, name);
  if (flag == nullptr) return false;
  if (!flag->is(Kind::kBool)) StopRender("{} takes a boolean, not {}", name, KindName(*flag));
  return flag->boolean();
}

// Identifies a value as the reference's sets do: scalars by content, the rest by object.
std::string SetKey(const Value& value) {
  switch (value.kind()) {
    case Kind::kString:
      return "s" + value.string();
    case Kind::kInt:
    case Kind::kDouble:
      return "n" + NumberText(value.number());
    case Kind::kBool:
      return value.boolean() ? "t" : "f";
    case Kind::kUndefined:
      return "u";
    case Kind::kNone:
      return "0";
    default:
      return fmt::format("p{}", value.identity());
  }
}

Value Unique(const Value& list, Budget& budget) {
  std::unordered_set<std::string> seen;
  std::vector<Value> items;
  for (const Value& item : list.list()) {
    if (item.is(Kind::kString)) budget.CheckString(item.string().size());
    budget.Step(4);
    if (seen.insert(SetKey(item)).second) items.push_back(item);
  }
  return budget.List(std::move(items));
}

Value JoinList(const Value& list, std::string_view separator, Budget& budget) {
  Buffer out(budget);
  bool first = true;
  for (const Value& item : list.list()) {
    if (!first) out.Append(separator);
    first = false;
    Print(item, out);
  }
  return out.TakeValue();
}

Value Reversed(const Value& list, Budget& budget) {
  budget.CheckList(list.list().size());
  return budget.List(std::vector<Value>(list.list().rbegin(), list.list().rend()));
}

Value Sorted(const Value& list, const CallArguments& arguments, Budget& budget) {
  const bool reverse = Flag(arguments, 0, "reverse");
  const bool case_sensitive = Flag(arguments, 1, "case_sensitive");
  const Value* attribute = arguments.Find(2, "attribute");
  std::string path;
  const bool by_attribute = attribute != nullptr && !attribute->is(Kind::kNone);
  if (by_attribute) {
    if (!attribute->is(Kind::kString) && !attribute->is(Kind::kInt)) {
      StopRender("attribute takes a string or an integer, not {}", KindName(*attribute));
    }
    path = PrintedText(*attribute, budget);
  }
  budget.CheckList(list.list().size());
  std::vector<Value> items = list.list();
  SortValues(items, case_sensitive, reverse, budget,
             [&](const Value& item) { return by_attribute ? AttributeAt(item, path) : item; });
  return budget.List(std::move(items));
}

const Value* MemberFor(const Value& item, std::string_view name) {
  return item.is(Kind::kDict) ? item.dict().Find(name) : item.ns().Find(name);
}

bool IsContainer(const Value& value) { return value.is(Kind::kDict) || value.is(Kind::kNamespace); }

// selectattr and rejectattr.
Value SelectByAttribute(const Value& list, const CallArguments& arguments, bool select,
                        Budget& budget) {
  std::vector<Value> kept;
  for (const Value& item : list.list()) {
    if (!IsContainer(item)) StopRender("selectattr needs a list of dicts, not {}", KindName(item));
  }
  if (list.list().empty()) return budget.List({});
  if (arguments.positional.empty() || !arguments.positional[0].is(Kind::kString)) {
    StopRender("selectattr needs the name of an attribute");
  }
  const std::string& name = arguments.positional[0].string();
  const bool tests = arguments.positional.size() > 1 && Truthy(arguments.positional[1]);
  if (tests && !arguments.positional[1].is(Kind::kString)) StopRender("selectattr: no test");
  const std::vector<Value> rest(
      arguments.positional.begin() +
          static_cast<ptrdiff_t>(std::min<size_t>(arguments.positional.size(), 2)),
      arguments.positional.end());
  for (const Value& item : list.list()) {
    budget.Step(2);
    const Value* member = MemberFor(item, name);
    const bool passes = member != nullptr &&
                        (tests ? ApplyTest(arguments.positional[1].string(), *member, rest, budget)
                               : Truthy(*member));
    if (passes == select) kept.push_back(item);
  }
  return budget.List(std::move(kept));
}

Value MapAttribute(const Value& list, const CallArguments& arguments, Budget& budget) {
  const Value* attribute = arguments.Find(SIZE_MAX, "attribute");
  if (!attribute->is(Kind::kString)) StopRender("map: attribute takes a string");
  const Value* otherwise = arguments.Find(SIZE_MAX, "default");
  std::vector<Value> items;
  for (const Value& item : list.list()) {
    budget.Step(2);
    if (!IsContainer(item)) StopRender("map needs a list of dicts, not {}", KindName(item));
    Value value = AttributeAt(item, attribute->string());
    if (value.is(Kind::kUndefined) && otherwise != nullptr) value = *otherwise;
    items.push_back(std::move(value));
  }
  return budget.List(std::move(items));
}

Value Indented(const Value& text, const CallArguments& arguments, Budget& budget) {
  const Value* width = arguments.Find(0, "width");
  if (width != nullptr && !width->is(Kind::kInt)) StopRender("indent: width takes an integer");
  const double spaces = width == nullptr ? 4 : width->number();
  if (!(spaces >= 0)) StopRender("indent: the width is negative");
  const auto truthy = [&](size_t index, std::string_view name) {
    const Value* flag = arguments.Find(index, name);
    return flag != nullptr && Truthy(*flag);
  };
  const bool indent_first = truthy(1, "first");
  const bool indent_blank = truthy(2, "blank");
  Buffer out(budget);
  const std::string_view source = text.string();
  budget.CheckString(static_cast<uint64_t>(std::min(spaces, 1e15)));
  for (size_t at = 0, line = 0; at <= source.size(); ++line) {
    const size_t end = std::min(source.find('\n', at), source.size());
    if (line > 0) out.Append('\n');
    if ((line > 0 || indent_first) && (end > at || indent_blank)) {
      out.Fill(static_cast<size_t>(spaces), ' ');
    }
    out.Append(source.substr(at, end - at));
    at = end + 1;
  }
  return out.TakeValue();
}

JsonOptions JsonOptionsFrom(const CallArguments& arguments) {
  JsonOptions options;
  const auto keyword = [&](std::string_view name) { return arguments.Find(SIZE_MAX, name); };
  const Value* indent = keyword("indent");
  if (indent != nullptr && !indent->is(Kind::kNone)) {
    if (!indent->is(Kind::kInt) || indent->number() < 0 || indent->number() > 1e6) {
      StopRender("tojson: indent takes a small integer");
    }
    options.indent = static_cast<size_t>(indent->number());
  }
  options.ensure_ascii = Flag(arguments, SIZE_MAX, "ensure_ascii");
  options.sort_keys = Flag(arguments, SIZE_MAX, "sort_keys");
  const Value* separators = keyword("separators");
  if (separators == nullptr || separators->is(Kind::kNone)) return options;
  if (!separators->is(Kind::kList) || separators->list().size() != 2 ||
      !separators->list()[0].is(Kind::kString) || !separators->list()[1].is(Kind::kString)) {
    StopRender("tojson: separators takes two strings");
  }
  options.item_separator = separators->list()[0].string();
  options.key_separator = separators->list()[1].string();
  return options;
}

using Filtered = std::optional<Value>;  // none: no such filter for this value

// `value | name`
Filtered PlainOnList(std::string_view name, const Value& list, Budget& budget) {
  if (name == "list") return list;
  if (name == "length") return list.list().size();
  if (name == "reverse") return Reversed(list, budget);
  if (name == "sort") return Sorted(list, {}, budget);
  if (name == "join") return JoinList(list, "", budget);
  if (name == "unique") return Unique(list, budget);
  return std::nullopt;
}

Filtered PlainOnString(std::string_view name, const Value& value, Budget& budget) {
  const std::string& text = value.string();
  budget.Work(text.size());
  if (name == "length") return Utf16Length(text);
  if (name == "upper") return budget.String(ToUpper(text));
  if (name == "lower") return budget.String(ToLower(text));
  if (name == "title") return budget.String(ToTitle(text));
  if (name == "capitalize") return budget.String(Capitalize(text));
  if (name == "trim") return budget.String(std::string(Trim(text)));
  if (name == "indent") return Indented(value, {}, budget);
  if (name == "join" || name == "string") return value;
  if (name == "int") return NumberOfText(value, true, 0);
  if (name == "float") return NumberOfText(value, false, 0.0);
  return std::nullopt;
}

Filtered PlainOnNumber(std::string_view name, const Value& value) {
  const double number = value.number();
  if (name == "abs" && value.is(Kind::kInt)) return IntegerFrom(std::abs(number));
  if (name == "abs") return std::abs(number);
  if (name == "int" && value.exact_integer() != nullptr) return value;
  if (name == "int") return IntegerFrom(std::floor(number));
  if (name == "float") return number;
  return std::nullopt;
}

Filtered PlainOnBool(std::string_view name, const Value& value) {
  if (name == "bool") return value;
  if (name == "int") return value.boolean() ? 1 : 0;
  if (name == "float") return value.boolean() ? 1.0 : 0.0;
  return std::nullopt;
}

// A dict's methods are filters too.
Filtered OnDict(std::string_view name, const Value& dict, CallArguments arguments,
                Interpreter& interpreter, const ScopePtr& scope) {
  const Value method = BuiltinMember(dict, name, interpreter.budget());
  if (!method.is(Kind::kCallable)) return std::nullopt;
  return method.callable()->Call(interpreter, std::move(arguments), scope);
}

Filtered Plain(Interpreter& interpreter, std::string_view name, const Value& operand,
               const ScopePtr& scope) {
  Budget& budget = interpreter.budget();
  switch (operand.kind()) {
    case Kind::kList:
      return PlainOnList(name, operand, budget);
    case Kind::kString:
      return PlainOnString(name, operand, budget);
    case Kind::kInt:
    case Kind::kDouble:
      return PlainOnNumber(name, operand);
    case Kind::kBool:
      return PlainOnBool(name, operand);
    case Kind::kDict:
      if (name == "length") return operand.dict().size();
      return OnDict(name, operand, {}, interpreter, scope);
    default:
      return std::nullopt;
  }
}

Filtered CalledJoin(const Value& operand, const CallArguments& arguments, Budget& budget) {
  const Value* separator = arguments.Find(0, "separator");
  if (separator != nullptr && !separator->is(Kind::kString)) {
    StopRender("join: the separator is {}", KindName(*separator));
  }
  const std::string_view between =
      separator == nullptr ? "" : std::string_view(separator->string());
  if (operand.is(Kind::kList)) return JoinList(operand, between, budget);
  if (!operand.is(Kind::kString)) StopRender("join does not apply to {}", KindName(operand));
  Buffer out(budget);
  bool first = true;
  for (const std::string_view c : Chars(operand.string())) {
    if (!first) out.Append(between);
    first = false;
    out.Append(c);
  }
  return out.TakeValue();
}

Filtered CalledNumber(const Value& operand, const CallArguments& arguments, bool integer) {
  if (operand.is_number()) return operand;
  if (operand.is(Kind::kBool)) {
    const int number = operand.boolean() ? 1 : 0;
    return integer ? Value(number) : Value(static_cast<double>(number));
  }
  if (!operand.is(Kind::kString)) return std::nullopt;
  const Value* given = arguments.Find(0, "default");
  const Value zero = integer ? Value(0) : Value(0.0);
  return NumberOfText(operand, integer, given == nullptr ? zero : *given);
}

Value Default(const Value& operand, const CallArguments& arguments) {
  const bool also_falsy = Flag(arguments, 1, "boolean");
  if (!operand.is(Kind::kUndefined) && !(also_falsy && !Truthy(operand))) return operand;
  return arguments.positional.empty() ? Value("") : arguments.positional[0];
}

Filtered CalledReplace(const Value& operand, const CallArguments& arguments,
                       Interpreter& interpreter, const ScopePtr& scope) {
  CallArguments passed = arguments;
  if (!passed.keywords) passed.keywords.emplace();
  const Value method = BuiltinMember(operand, "replace", interpreter.budget());
  return method.callable()->Call(interpreter, std::move(passed), scope);
}

// `value | name(arguments)`
Filtered Called(Interpreter& interpreter, std::string_view name, const Value& operand,
                const CallArguments& arguments, const ScopePtr& scope) {
  Budget& budget = interpreter.budget();
  if (name == "join") return CalledJoin(operand, arguments, budget);
  if (name == "int" || name == "float") return CalledNumber(operand, arguments, name == "int");
  if (name == "default") return Default(operand, arguments);
  if (operand.is(Kind::kList)) {
    if (name == "sort") return Sorted(operand, arguments, budget);
    if (name == "selectattr") return SelectByAttribute(operand, arguments, true, budget);
    if (name == "rejectattr") return SelectByAttribute(operand, arguments, false, budget);
    if (name == "map" && arguments.Find(SIZE_MAX, "attribute") != nullptr) {
      return MapAttribute(operand, arguments, budget);
    }
  }
  if (operand.is(Kind::kString)) {
    if (name == "indent") return Indented(operand, arguments, budget);
    if (name == "replace") return CalledReplace(operand, arguments, interpreter, scope);
  }
  if (operand.is(Kind::kDict)) return OnDict(name, operand, arguments, interpreter, scope);
  return std::nullopt;
}

// These print what is no string and go on with that, as in Jinja.
bool TakesAnyAsText(std::string_view name) {
  return name == "string" || name == "upper" || name == "lower" || name == "title" ||
         name == "capitalize" || name == "trim" || name == "replace";
}

}  // namespace

Value AttributeAt(const Value& item, std::string_view path) {
  Value value = item;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('.', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    Value next;
    if (IsContainer(value)) {
      if (const Value* found = MemberFor(value, part)) next = *found;
    } else if (value.is(Kind::kList)) {
      const double index = LeadingNumber(part, true);
      if (index >= 0 && index < static_cast<double>(value.list().size())) {
        next = value.list()[static_cast<size_t>(index)];
      }
    }
    value = next;
  }
  return value;
}

std::optional<Value> ApplyNamedFilter(Interpreter& interpreter, std::string_view name, bool called,
                                      const Value& operand, const CallArguments& arguments,
                                      const ScopePtr& scope) {
  Budget& budget = interpreter.budget();
  if (!called && name == "safe") return operand;
  if (name == "tojson") {
    return JsonText(operand, called ? JsonOptionsFrom(arguments) : JsonOptions(), budget);
  }
  if (!called && operand.is(Kind::kList) && (name == "first" || name == "last")) {
    if (operand.list().empty()) return std::nullopt;
    return name == "first" ? operand.list().front() : operand.list().back();
  }
  Filtered result = called ? Called(interpreter, name, operand, arguments, scope)
                           : Plain(interpreter, name, operand, scope);
  if (!result) result = ExtraFilter(interpreter, name, operand, arguments, scope);
  if (!result && TakesAnyAsText(name) && !operand.is(Kind::kString)) {
    const Value text = budget.String(PrintedText(operand, budget));
    return ApplyNamedFilter(interpreter, name, called, text, arguments, scope);
  }
  if (!result) StopRender("the filter '{}' does not apply to {}", name, KindName(operand));
  return result;
}

std::optional<Value> ApplyFilter(Interpreter& interpreter, const Value& operand, const Node& node,
                                 const ScopePtr& scope) {
  if (node.broken) StopRender("what stands after | is no filter");
  const std::string& name = interpreter.NameOf(node.symbol);
  const CallArguments arguments = interpreter.Arguments(node.arguments, scope);
  return ApplyNamedFilter(interpreter, name, node.called, operand, arguments, scope);
}

}  // namespace plimsoll::text::jinja
