// Methods of strings and dicts.
#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <unordered_map>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

using Method = Value (*)(const Value& self, const CallArguments& arguments, Budget& budget);
using MethodTable = std::unordered_map<std::string_view, Method>;

class BoundMethod : public Callable {
 public:
  BoundMethod(Value self, Method method) : self_(std::move(self)), method_(method) {}
  Value Call(Interpreter& interpreter, CallArguments arguments,
             const ScopePtr& /*scope*/) const override {
    if (self_.is(Kind::kString)) interpreter.budget().Work(self_.string().size());
    return method_(self_, arguments, interpreter.budget());
  }

 private:
  Value self_;
  Method method_;
};

const std::string& TextArgument(const CallArguments& arguments, size_t index) {
  const Value* argument = arguments.Positional(index);
  if (argument == nullptr) StopRender("a method of strings misses an argument");
  if (!argument->is(Kind::kString)) {
    StopRender("a method of strings takes a string, not {}", KindName(*argument));
  }
  return argument->string();
}

// An integer argument; none and an absent one give `otherwise`.
double IntegerArgument(const Value* argument, double otherwise) {
  if (argument == nullptr || argument->is(Kind::kNone)) return otherwise;
  if (!argument->is(Kind::kInt)) {
    StopRender("a method takes an integer, not {}", KindName(*argument));
  }
  return argument->number();
}

Value TextList(const std::vector<std::string_view>& parts, Budget& budget) {
  budget.CheckList(4 * parts.size());
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const std::string_view part : parts) items.push_back(budget.String(std::string(part)));
  return budget.List(std::move(items));
}

// With startswith and endswith: one of the strings, or the string.
template <class Matches>
Value AnyAffix(const CallArguments& arguments, const Matches& matches) {
  const Value* affix = arguments.Positional(0);
  if (affix == nullptr) StopRender("startswith and endswith need an argument");
  if (affix->is(Kind::kString)) return bool{matches(affix->string())};
  if (!affix->is(Kind::kList)) StopRender("startswith: no string but {}", KindName(*affix));
  for (const Value& item : affix->list()) {
    if (!item.is(Kind::kString)) StopRender("startswith: no string but {}", KindName(item));
    if (matches(item.string())) return true;
  }
  return false;
}

// At runs of white space; the part after the last split keeps its own.
std::vector<std::string_view> SplitAtSpace(std::string_view text, double splits) {
  std::vector<std::string_view> parts;
  text = TrimStart(text);
  while (!text.empty()) {
    if (splits != -1 && static_cast<double>(parts.size()) >= splits) {
      parts.push_back(text);
      break;
    }
    size_t end = 0;
    while (end < text.size() && SpaceBytesAt(text, end) == 0) end += CharBytes(text, end);
    parts.push_back(text.substr(0, end));
    text = TrimStart(text.substr(end));
  }
  return parts;
}

std::vector<std::string_view> SplitAt(std::string_view text, std::string_view separator,
                                      Budget& budget) {
  if (separator.empty()) StopRender("split: the separator is empty");
  std::vector<std::string_view> parts;
  size_t at = 0;
  for (size_t end = text.find(separator); end != std::string_view::npos;
       end = text.find(separator, at)) {
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
    if (parts.size() % 4096 == 0) budget.CheckList(4 * parts.size());
  }
  parts.push_back(text.substr(at));
  return parts;
}

std::string_view Spanning(std::string_view first, std::string_view last) {
  return {first.data(), static_cast<size_t>(last.data() + last.size() - first.data())};
}

const Value* Separator(const CallArguments& arguments) {
  const Value* separator = arguments.Positional(0);
  if (separator == nullptr || separator->is(Kind::kNone)) return nullptr;
  static_cast<void>(TextArgument(arguments, 0));
  return separator;
}

Value Split(const Value& self, const CallArguments& arguments, Budget& budget) {
  const Value* separator = Separator(arguments);
  const Value* limit = arguments.Positional(1);
  if (limit != nullptr && limit->is(Kind::kNone)) StopRender("split: maxsplit is none");
  const double splits = IntegerArgument(limit, -1);
  if (separator == nullptr) return TextList(SplitAtSpace(self.string(), splits), budget);
  auto parts = SplitAt(self.string(), separator->string(), budget);
  const auto count = static_cast<double>(parts.size());
  if (splits != -1 && count > splits) {
    const auto kept = static_cast<size_t>(splits >= 0 ? splits : std::max(count + splits, 0.0));
    const std::string_view rest = Spanning(parts[kept], parts.back());
    parts.resize(kept);
    parts.push_back(rest);
  }
  return TextList(parts, budget);
}

Value RightSplit(const Value& self, const CallArguments& arguments, Budget& budget) {
  const Value* separator = Separator(arguments);
  const double splits = IntegerArgument(arguments.Positional(1), -1);
  if (separator == nullptr) {
    if (splits >= 0) StopRender("rsplit: maxsplit needs a separator");
    return TextList(SplitAtSpace(self.string(), -1), budget);
  }
  auto parts = SplitAt(self.string(), separator->string(), budget);
  const auto count = static_cast<double>(parts.size());
  if (splits >= 0 && count > splits + 1) {
    const auto joined = static_cast<size_t>(count - splits);
    parts[joined - 1] = Spanning(parts[0], parts[joined - 1]);
    parts.erase(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(joined - 1));
  }
  return TextList(parts, budget);
}

Value SplitLines(const Value& self, const CallArguments& /*arguments*/, Budget& budget) {
  std::vector<std::string_view> lines;
  std::string_view text = self.string();
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    const bool two = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(end + (two ? 2 : 1), text.size()));
  }
  return TextList(lines, budget);
}

Value Replace(const Value& self, const CallArguments& arguments, Budget& budget) {
  const std::string& old_text = TextArgument(arguments, 0);
  const std::string& new_text = TextArgument(arguments, 1);
  const Value* count = arguments.Find(2, "count");
  return ReplaceText(self.string(), old_text, new_text, IntegerArgument(count, -1), budget);
}

Value JoinParts(const Value& self, const CallArguments& arguments, Budget& budget) {
  const Value* parts = arguments.Positional(0);
  if (parts == nullptr || !parts->is(Kind::kList)) StopRender("join needs a list");
  Buffer out(budget);
  bool first = true;
  for (const Value& part : parts->list()) {
    if (!part.is(Kind::kString)) StopRender("join: {} in the list", KindName(part));
    if (!first) out.Append(self.string());
    first = false;
    out.Append(part.string());
  }
  return out.TakeValue();
}

Value Position(const Value& self, size_t at) {
  if (at == std::string::npos) return -1;
  return Utf16Length(std::string_view(self.string()).substr(0, at));
}

Value CountOf(const Value& self, const CallArguments& arguments, Budget& /*budget*/) {
  const std::string& part = TextArgument(arguments, 0);
  if (part.empty()) return Utf16Length(self.string()) + 1;
  size_t count = 0;
  for (size_t at = self.string().find(part); at != std::string::npos;
       at = self.string().find(part, at + part.size())) {
    ++count;
  }
  return count;
}

// Without the characters that the argument holds, at one end or both; without white space when
// there is none. (The package ignores the argument.)
std::string Stripped(std::string_view text, const CallArguments& arguments, bool at_start,
                     bool at_end, Budget& budget) {
  const Value* given = Separator(arguments);
  if (given == nullptr) {
    if (at_start) text = TrimStart(text);
    return std::string(at_end ? TrimEnd(text) : text);
  }
  const std::vector<std::string_view> set = Chars(given->string());
  const std::vector<std::string_view> chars = Chars(text);
  budget.CheckList(set.size() + chars.size());
  const auto goes = [&](std::string_view c) {
    budget.Work(given->string().size());
    return std::ranges::find(set, c) != set.end();
  };
  size_t from = 0;
  size_t to = chars.size();
  while (at_start && from < to && goes(chars[from])) ++from;
  while (at_end && from < to && goes(chars[to - 1])) --to;
  return from == to ? "" : std::string(Spanning(chars[from], chars[to - 1]));
}

bool AllDigits(const std::string& text) {
  return !text.empty() && std::ranges::all_of(text, IsDigit);
}

const MethodTable& StringMethods() {
  using Arguments = CallArguments;
  static const MethodTable kMethods = {
      {"upper",
       [](const Value& s, const Arguments&, Budget& b) { return b.String(ToUpper(s.string())); }},
      {"lower",
       [](const Value& s, const Arguments&, Budget& b) { return b.String(ToLower(s.string())); }},
      {"title",
       [](const Value& s, const Arguments&, Budget& b) { return b.String(ToTitle(s.string())); }},
      {"capitalize", [](const Value& s, const Arguments&,
                        Budget& b) { return b.String(Capitalize(s.string())); }},
      {"strip", [](const Value& s, const Arguments& a,
                   Budget& b) { return b.String(Stripped(s.string(), a, true, true, b)); }},
      {"lstrip", [](const Value& s, const Arguments& a,
                    Budget& b) { return b.String(Stripped(s.string(), a, true, false, b)); }},
      {"rstrip", [](const Value& s, const Arguments& a,
                    Budget& b) { return b.String(Stripped(s.string(), a, false, true, b)); }},
      {"startswith",
       [](const Value& s, const Arguments& a, Budget&) {
         return AnyAffix(a, [&](const std::string& x) { return s.string().starts_with(x); });
       }},
      {"endswith",
       [](const Value& s, const Arguments& a, Budget&) {
         return AnyAffix(a, [&](const std::string& x) { return s.string().ends_with(x); });
       }},
      {"split", Split},
      {"replace", Replace},
      // Python's, which the reference lacks.
      {"rsplit", RightSplit},
      {"splitlines", SplitLines},
      {"join", JoinParts},
      {"count", CountOf},
      {"find", [](const Value& s, const Arguments& a,
                  Budget&) { return Position(s, s.string().find(TextArgument(a, 0))); }},
      {"rfind", [](const Value& s, const Arguments& a,
                   Budget&) { return Position(s, s.string().rfind(TextArgument(a, 0))); }},
      {"isdigit",
       [](const Value& s, const Arguments&, Budget&) { return Value(AllDigits(s.string())); }},
      {"removeprefix",
       [](const Value& s, const Arguments& a, Budget& b) {
         const std::string& prefix = TextArgument(a, 0);
         return s.string().starts_with(prefix) ? b.String(s.string().substr(prefix.size())) : s;
       }},
      {"removesuffix",
       [](const Value& s, const Arguments& a, Budget& b) {
         const std::string& suffix = TextArgument(a, 0);
         if (!s.string().ends_with(suffix)) return s;
         return b.String(s.string().substr(0, s.string().size() - suffix.size()));
       }},
  };
  return kMethods;
}

Value DictGet(const Value& self, const CallArguments& arguments, Budget& /*budget*/) {
  const Value* key = arguments.Positional(0);
  if (key == nullptr || !key->is(Kind::kString)) StopRender("get: the key is no string");
  if (const Value* found = self.dict().Find(key->string())) return *found;
  const Value* otherwise = arguments.Positional(1);
  return otherwise == nullptr ? Value(nullptr) : *otherwise;
}

Value DictKeys(const Value& self, const CallArguments& /*arguments*/, Budget& budget) {
  std::vector<Value> keys;
  for (const auto& [key, value] : self.dict().members()) keys.push_back(budget.String(key));
  return budget.List(std::move(keys));
}

Value DictValues(const Value& self, const CallArguments& /*arguments*/, Budget& budget) {
  std::vector<Value> values;
  for (const auto& [key, value] : self.dict().members()) values.push_back(value);
  return budget.List(std::move(values));
}

const MethodTable& DictMethods() {
  static const MethodTable kMethods = {
      {"get", DictGet},
      {"keys", DictKeys},
      {"values", DictValues},
      {"items", [](const Value& self, const CallArguments&,
                   Budget& budget) { return DictItems(self, budget); }},
      {"dictsort", [](const Value& self, const CallArguments& arguments,
                      Budget& budget) { return DictSort(self, arguments, budget); }},
  };
  return kMethods;
}

}  // namespace

bool IsDictMethod(std::string_view name) {
  return name == "get" || name == "items" || name == "keys" || name == "values";
}

Value BuiltinMember(const Value& value, std::string_view name, Budget& budget) {
  if (name == "length" && value.is(Kind::kList)) return value.list().size();
  if (name == "length" && value.is(Kind::kString)) {
    budget.Work(value.string().size());
    return Utf16Length(value.string());
  }
  if (!value.is(Kind::kString) && !value.is(Kind::kDict)) return {};
  const MethodTable& methods = value.is(Kind::kString) ? StringMethods() : DictMethods();
  const auto at = methods.find(name);
  if (at == methods.end()) return {};
  return Value::CallablePtr(std::make_shared<const BoundMethod>(value, at->second));
}

Value ReplaceText(std::string_view text, std::string_view old_text, std::string_view new_text,
                  double count, Budget& budget) {
  double left = count < 0 ? HUGE_VAL : count;
  Buffer out(budget);
  size_t at = 0;
  while (left > 0) {
    const size_t found = old_text.empty() ? at : text.find(old_text, at);
    if (found == std::string_view::npos) break;
    out.Append(text.substr(at, found - at));
    out.Append(new_text);
    --left;
    at = found + old_text.size();
    if (!old_text.empty()) continue;
    if (at == text.size()) return out.TakeValue();
    const size_t bytes = CharBytes(text, at);
    out.Append(text.substr(at, bytes));
    at += bytes;
  }
  out.Append(text.substr(at));
  return out.TakeValue();
}

Value DictItems(const Value& dict, Budget& budget) {
  std::vector<Value> items;
  for (const auto& [key, value] : dict.dict().members()) {
    items.push_back(budget.List({budget.String(key), value}));
  }
  return budget.List(std::move(items));
}

Value DictSort(const Value& dict, const CallArguments& arguments, Budget& budget) {
  const auto flag = [&](size_t index, std::string_view name) {
    const Value* value = arguments.Find(index, name);
    if (value != nullptr && !value->is(Kind::kBool)) StopRender("dictsort: {} is no boolean", name);
    return value != nullptr && value->boolean();
  };
  const bool case_sensitive = flag(0, "case_sensitive");
  const Value* by = arguments.Find(1, "by");
  const bool by_value = by != nullptr && by->is(Kind::kString) && by->string() == "value";
  const bool by_key = by == nullptr || (by->is(Kind::kString) && by->string() == "key");
  if (!by_value && !by_key) StopRender("dictsort: by takes 'key' or 'value'");
  const bool reverse = flag(2, "reverse");
  std::vector<Value> items = DictItems(dict, budget).list();
  SortValues(items, case_sensitive, reverse, budget,
             [&](const Value& item) { return item.list()[by_value ? 1 : 0]; });
  return budget.List(std::move(items));
}

void SortValues(std::vector<Value>& items, bool case_sensitive, bool reverse, Budget& budget,
                const std::function<Value(const Value&)>& key) {
  std::ranges::stable_sort(items, [&](const Value& a, const Value& b) {
    const Value left = key(a);
    if (left.is(Kind::kString)) budget.Work(left.string().size());
    budget.Step(4);
    const int order = CompareForSort(left, key(b), case_sensitive);
    return reverse ? order > 0 : order < 0;
  });
}

}  // namespace plimsoll::text::jinja
