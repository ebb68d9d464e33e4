// Global functions: range, namespace, dict, strftime_now, raise_exception.
#include <array>
#include <cmath>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

using Function = Value (*)(Interpreter& interpreter, CallArguments arguments);

class GlobalFunction : public Callable {
 public:
  explicit GlobalFunction(Function function) : function_(function) {}
  Value Call(Interpreter& interpreter, CallArguments arguments,
             const ScopePtr& /*scope*/) const override {
    return function_(interpreter, std::move(arguments));
  }

 private:
  Function function_;
};

// A bound of range(): none and true count as 0 and 1.
double Bound(const Value& value) {
  if (value.is(Kind::kNone)) return 0;
  if (value.is(Kind::kBool)) return value.boolean() ? 1 : 0;
  if (value.is_number()) return value.number();
  StopRender("range: {} is no number", KindName(value));
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): every global has this signature
Value Range(Interpreter& interpreter, CallArguments arguments) {
  const auto& given = arguments.positional;
  if (given.empty()) return interpreter.budget().List({});
  const bool has_stop = given.size() > 1 && !given[1].is(Kind::kUndefined);
  const double start = has_stop ? Bound(given[0]) : 0;
  const double stop = Bound(given[has_stop ? 1 : 0]);
  const bool has_step = given.size() > 2 && !given[2].is(Kind::kUndefined);
  const double step = has_step ? Bound(given[2]) : 1;
  if (step == 0) StopRender("range: the step is zero");
  const double count = std::ceil((stop - start) / step);
  std::vector<Value> items;
  if (!(count > 0)) return interpreter.budget().List(std::move(items));
  interpreter.budget().CheckList(static_cast<uint64_t>(std::min(count, 1e15)));
  for (double i = start; step > 0 ? i < stop : i > stop; i += step) {
    items.push_back(std::trunc(i) == i ? IntegerFrom(i) : Value(i));
  }
  return interpreter.budget().List(std::move(items));
}

// A [key, value] list, or a string of two characters.
Member Pair(const Value& pair) {
  if (pair.is(Kind::kList) && pair.list().size() == 2 && pair.list()[0].is(Kind::kString)) {
    return {pair.list()[0].string(), pair.list()[1]};
  }
  if (pair.is(Kind::kString)) {
    const auto chars = Chars(pair.string());
    if (chars.size() == 2) return {std::string(chars[0]), Value(chars[1])};
  }
  StopRender("namespace: {} is no pair of key and value", KindName(pair));
}

std::vector<Member> MembersFrom(Interpreter& interpreter, CallArguments& arguments) {
  if (arguments.positional.size() > 1) StopRender("namespace and dict take one argument at most");
  std::vector<Member> members;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Kind::kDict)) {
      members = source.dict().members();
    } else if (source.is(Kind::kList)) {
      for (const Value& pair : source.list()) members.push_back(Pair(pair));
    } else {
      StopRender("namespace: {} is no dict", KindName(source));
    }
  }
  for (Member& member : arguments.keywords.value_or(std::vector<Member>())) {
    members.push_back(std::move(member));
  }
  // Looking up among n members takes n steps.
  interpreter.budget().Step(members.size() * members.size() / 8);
  return members;
}

Value MakeNamespace(Interpreter& interpreter, CallArguments arguments) {
  return interpreter.MakeNamespace(MembersFrom(interpreter, arguments));
}

Value MakeDict(Interpreter& interpreter, CallArguments arguments) {
  return interpreter.budget().Dictionary(MembersFrom(interpreter, arguments));
}

Value RaiseException(Interpreter& interpreter, CallArguments arguments) {
  const std::string message = arguments.positional.empty()
                                  ? ""
                                  : PrintedText(arguments.positional[0], interpreter.budget());
  throw Stop{{ErrorKind::kFailed, message}};
}

Value StrftimeNow(Interpreter& interpreter, CallArguments arguments) {
  if (arguments.positional.empty() || !arguments.positional[0].is(Kind::kString)) {
    StopRender("strftime_now needs a format");
  }
  const std::string& format = arguments.positional[0].string();
  interpreter.budget().CheckString(format.size() * 5);
  return interpreter.budget().String(Strftime(interpreter.now(), format));
}

}  // namespace

std::string Strftime(const std::tm& time, std::string_view format) {
  constexpr std::array<std::string_view, 12> kMonths = {
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  const std::string_view month = kMonths[static_cast<size_t>(time.tm_mon) % 12];
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    const char code = format[i] == '%' && i + 1 < format.size() ? format[i + 1] : '\0';
    switch (code) {
      case 'Y':
        text += fmt::format("{}", time.tm_year + 1900);
        break;
      case 'm':
        text += fmt::format("{:02}", time.tm_mon + 1);
        break;
      case 'd':
        text += fmt::format("{:02}", time.tm_mday);
        break;
      case 'H':
        text += fmt::format("{:02}", time.tm_hour);
        break;
      case 'M':
        text += fmt::format("{:02}", time.tm_min);
        break;
      case 'b':
        text += month.substr(0, 3);
        break;
      case 'B':
        text += month;
        break;
      case '%':
        text += '%';
        break;
      default:
        text += format[i];
        continue;
    }
    ++i;
  }
  return text;
}

std::vector<Member> GlobalFunctions() {
  const auto function = [](Function code) {
    return Value(Value::CallablePtr(std::make_shared<const GlobalFunction>(code)));
  };
  return {
      {"namespace", function(MakeNamespace)},
      {"range", function(Range)},
      {"strftime_now", function(StrftimeNow)},
      {"raise_exception", function(RaiseException)},
      {"dict", function(MakeDict)},
  };
}

}  // namespace plimsoll::text::jinja
