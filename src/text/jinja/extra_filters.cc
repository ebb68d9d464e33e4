#include "text/jinja/extra_filters.h"

#include <algorithm>
#include <cmath>

#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/printing.h"
#include "text/jinja/unicode.h"

namespace plimsoll::text::jinja {

namespace {

using Filtered = std::optional<Value>;

Value ByName(Interpreter& interpreter, const Value& operand, const Value& name,
             std::vector<Value> rest, const ScopePtr& scope);

Filtered Count(const Value& operand) {
  if (operand.is(Kind::kList)) return operand.list().size();
  if (operand.is(Kind::kDict)) return operand.dict().size();
  if (operand.is(Kind::kString)) return Utf16Length(operand.string());
  return std::nullopt;
}

// Halves go to the even neighbour, as in Python.
Filtered Round(const Value& operand, const CallArguments& arguments) {
  if (!operand.is_number()) return std::nullopt;
  const Value* digits = arguments.Find(0, "precision");
  const Value* method = arguments.Find(1, "method");
  if (digits != nullptr && (!digits->is(Kind::kInt) || std::abs(digits->number()) > 300)) {
    return std::nullopt;
  }
  const double scale = std::pow(10.0, digits == nullptr ? 0 : digits->number());
  const std::string how = method != nullptr && method->is(Kind::kString) ? method->string() : "";
  const double scaled = operand.number() * scale;
  const double rounded = how == "ceil"    ? std::ceil(scaled)
                         : how == "floor" ? std::floor(scaled)
                                          : std::nearbyint(scaled);
  return rounded / scale;
}

Value KeyOf(const Value& item, const Value* attribute) {
  return attribute != nullptr && attribute->is(Kind::kString)
             ? AttributeAt(item, attribute->string())
             : item;
}

Filtered Extreme(const Value& list, const CallArguments& arguments, bool largest, Budget& budget) {
  const Value* attribute = arguments.Find(1, "attribute");
  const Value* best = nullptr;
  for (const Value& item : list.list()) {
    budget.Step(2);
    const bool better =
        best != nullptr && CompareForSort(KeyOf(item, attribute), KeyOf(*best, attribute), false) *
                                   (largest ? 1 : -1) >
                               0;
    if (best == nullptr || better) best = &item;
  }
  return best == nullptr ? Value() : *best;
}

Filtered Sum(const Value& list, const CallArguments& arguments, Budget& budget) {
  const Value* attribute = arguments.Find(0, "attribute");
  const Value* start = arguments.Find(1, "start");
  Value sum = start == nullptr ? Value(0) : *start;
  for (const Value& item : list.list()) {
    sum = Apply(Op::kAdd, sum, KeyOf(item, attribute), budget);
  }
  return sum;
}

Filtered Select(const Value& list, const CallArguments& arguments, bool select, Budget& budget) {
  std::vector<Value> kept;
  const auto& given = arguments.positional;
  const bool tests = !given.empty();
  if (tests && !given[0].is(Kind::kString)) return std::nullopt;
  const std::vector<Value> rest(given.begin() + (tests ? 1 : 0), given.end());
  for (const Value& item : list.list()) {
    budget.Step(2);
    const bool passes = tests ? ApplyTest(given[0].string(), item, rest, budget) : Truthy(item);
    if (passes == select) kept.push_back(item);
  }
  return budget.List(std::move(kept));
}

// A list of [value, items] pairs, ordered by value.
Filtered GroupBy(const Value& list, const CallArguments& arguments, Budget& budget) {
  const Value* attribute = arguments.Find(0, "attribute");
  if (attribute == nullptr || !attribute->is(Kind::kString)) return std::nullopt;
  std::vector<Value> items = list.list();
  const auto key = [&](const Value& item) { return KeyOf(item, attribute); };
  SortValues(items, false, false, budget, key);
  std::vector<Value> groups;
  for (size_t i = 0; i < items.size();) {
    const Value value = key(items[i]);
    std::vector<Value> group;
    for (; i < items.size() && CompareForSort(key(items[i]), value, false) == 0; ++i) {
      group.push_back(items[i]);
    }
    groups.push_back(budget.List({value, budget.List(std::move(group))}));
  }
  return budget.List(std::move(groups));
}

Filtered Batch(const Value& list, const CallArguments& arguments, Budget& budget) {
  const Value* size = arguments.Find(0, "linecount");
  const Value* fill = arguments.Find(1, "fill_with");
  if (size == nullptr || !size->is(Kind::kInt) || size->number() < 1) return std::nullopt;
  const auto count = static_cast<size_t>(std::min(size->number(), 1e9));
  std::vector<Value> batches;
  for (size_t i = 0; i < list.list().size(); i += count) {
    const size_t end = std::min(i + count, list.list().size());
    std::vector<Value> batch(list.list().begin() + static_cast<ptrdiff_t>(i),
                             list.list().begin() + static_cast<ptrdiff_t>(end));
    if (fill != nullptr) {
      budget.CheckList(count);
      batch.resize(count, *fill);
    }
    batches.push_back(budget.List(std::move(batch)));
  }
  return budget.List(std::move(batches));
}

Value Escaped(const Value& operand, Budget& budget) {
  Buffer out(budget);
  const std::string text = PrintedText(operand, budget);
  for (const char c : text) {
    switch (c) {
      case '&':
        out.Append("&amp;");
        break;
      case '<':
        out.Append("&lt;");
        break;
      case '>':
        out.Append("&gt;");
        break;
      case '\'':
        out.Append("&#39;");
        break;
      case '"':
        out.Append("&#34;");
        break;
      default:
        out.Append(c);
    }
  }
  return out.TakeValue();
}

// map('upper'), map('replace', 'a', 'b')
Filtered MapFilter(Interpreter& interpreter, const Value& list, const CallArguments& arguments,
                   const ScopePtr& scope) {
  const auto& given = arguments.positional;
  if (given.empty() || !given[0].is(Kind::kString)) return std::nullopt;
  std::vector<Value> items;
  for (const Value& item : list.list()) {
    interpreter.budget().Step(4);
    items.push_back(ByName(interpreter, item, given[0],
                           std::vector<Value>(given.begin() + 1, given.end()), scope));
  }
  return interpreter.budget().List(std::move(items));
}

Value ByName(Interpreter& interpreter, const Value& operand, const Value& name,
             std::vector<Value> rest, const ScopePtr& scope) {
  const bool called = !rest.empty();
  auto result = ApplyNamedFilter(interpreter, name.string(), called, operand,
                                 {.positional = std::move(rest), .keywords = std::nullopt}, scope);
  if (!result) StopRender("map: '{}' of an empty list", name.string());
  return *std::move(result);
}

}  // namespace

Filtered ExtraFilter(Interpreter& interpreter, std::string_view name, const Value& operand,
                     const CallArguments& arguments, const ScopePtr& scope) {
  Budget& budget = interpreter.budget();
  if (name == "d" || name == "default") {
    const Value* otherwise = arguments.Find(0, "default_value");
    const Value* also_falsy = arguments.Find(1, "boolean");
    const bool missing = operand.is(Kind::kUndefined) ||
                         (also_falsy != nullptr && Truthy(*also_falsy) && !Truthy(operand));
    return missing ? (otherwise == nullptr ? Value("") : *otherwise) : operand;
  }
  if (name == "count") return Count(operand);
  if (name == "round") return Round(operand, arguments);
  if ((name == "e" || name == "escape") && !operand.is(Kind::kUndefined)) {
    return Escaped(operand, budget);
  }
  const bool lists = name == "selectattr" || name == "rejectattr" || name == "select" ||
                     name == "reject" || name == "map";
  if (lists && !Truthy(operand)) return budget.List({});
  // Characters have no attributes.
  if (name == "selectattr" && operand.is(Kind::kString)) return budget.List({});
  if (name == "length" && operand.is(Kind::kUndefined)) return 0;
  if (!operand.is(Kind::kList)) return std::nullopt;
  if (name == "min" || name == "max") return Extreme(operand, arguments, name == "max", budget);
  if (name == "sum") return Sum(operand, arguments, budget);
  if (name == "select" || name == "reject") {
    return Select(operand, arguments, name == "select", budget);
  }
  if (name == "map") return MapFilter(interpreter, operand, arguments, scope);
  if (name == "groupby") return GroupBy(operand, arguments, budget);
  if (name == "batch") return Batch(operand, arguments, budget);
  return std::nullopt;
}

}  // namespace plimsoll::text::jinja
