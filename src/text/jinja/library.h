// The functions that templates can name: filters, tests, methods, globals.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "text/jinja/interpreter.h"

namespace plimsoll::text::jinja {

// `node` is a kFilter. None when the filter is `first` or `last` of an empty list.
[[nodiscard]] std::optional<Value> ApplyFilter(Interpreter& interpreter, const Value& operand,
                                               const Node& node, const ScopePtr& scope);

// The same by name; `called` says that it is written with parentheses.
[[nodiscard]] std::optional<Value> ApplyNamedFilter(Interpreter& interpreter, std::string_view name,
                                                    bool called, const Value& operand,
                                                    const CallArguments& arguments,
                                                    const ScopePtr& scope);

// Throws Stop when there is no such test, or it does not apply.
[[nodiscard]] bool ApplyTest(std::string_view name, const Value& operand,
                             const std::vector<Value>& arguments, Budget& budget);

// Of a dict in Python, and known here.
[[nodiscard]] bool IsDictMethod(std::string_view name);
// What `value.name` is when the value has no member of that name; undefined if nothing.
[[nodiscard]] Value BuiltinMember(const Value& value, std::string_view name, Budget& budget);

// str.replace, whose count is negative for all.
[[nodiscard]] Value ReplaceText(std::string_view text, std::string_view old_text,
                                std::string_view new_text, double count, Budget& budget);
[[nodiscard]] Value DictItems(const Value& dict, Budget& budget);
[[nodiscard]] Value DictSort(const Value& dict, const CallArguments& arguments, Budget& budget);
void SortValues(std::vector<Value>& items, bool case_sensitive, bool reverse, Budget& budget,
                const std::function<Value(const Value&)>& key);

// The global functions, by name; namespace comes first.
[[nodiscard]] std::vector<Member> GlobalFunctions();
[[nodiscard]] std::string Strftime(const std::tm& time, std::string_view format);

}  // namespace plimsoll::text::jinja
