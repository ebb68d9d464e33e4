#include "server/api/request_fields.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <boost/json/value.hpp>
#include <fmt/format.h>

#include "server/api/json/convert.h"

namespace plimsoll::server::api {
namespace {

using text::jinja::Member;
using text::jinja::Value;

std::string ReadFlatName(const Field& field) {
  const auto name = field.String({.least = 1, .most = 128});
  if (!name) return "";
  const bool good = std::all_of(name->begin(), name->end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_-.:/").find(c) != std::string_view::npos;
  });
  if (!good) {
    field.Fail("invalid_value", "may have letters, digits and '_', '-', '.', ':', '/' only");
  }
  return std::string(*name);
}

// A string as `parse` reads it; a number stands for itself.
template <class T, class U>
void ReadAs(const Field& field, Result<T> (*parse)(std::string_view), std::string_view expected,
            U& value) {
  if (!field.present()) return;
  const auto parsed =
      field.is_number() ? parse(field.Json()) : parse(field.String(kIdBytes).value_or(""));
  if (parsed) {
    value = *parsed;
  } else {
    field.Fail("invalid_value", expected);
  }
}

// "'full', 'window'"
std::string PolicyNames() {
  std::string names;
  for (size_t i = 0; i < kv::policy::kNPolicyKinds; ++i) {
    names += fmt::format("{}'{}'", i == 0 ? "" : ", ",
                         kv::policy::NameOf(static_cast<kv::policy::PolicyKind>(i)));
  }
  return names;
}

}  // namespace

void ReadFloat(const Field& field, NumberRange range, float& value) {
  if (const auto number = field.Number(range)) value = static_cast<float>(*number);
}

void ReadInt(const Field& field, IntegerRange range, int32_t& value) {
  if (const auto number = field.Integer(range)) value = static_cast<int32_t>(*number);
}

void ReadSeed(const Field& field, Task& task) {
  const auto seed = field.Integer({});
  if (!seed || *seed == -1) return;
  task.options.sampling.seed = static_cast<uint64_t>(*seed);
  task.seed_given = true;
}

void ReadCacheSalt(const Field& field, Task& task) {
  if (const auto salt = field.String({.least = 1, .most = kIdBytes.most})) {
    task.cache_salt = *salt;
  }
}

void ReadKvPolicy(Fields& fields, Task& task) {
  const Field kind = fields["kv_policy"];
  const Field budget = fields["kv_budget"];
  const Field reference = fields["kv_reference"];
  const Field positions = fields["kv_positions"];
  kv::policy::PolicyOptions options;
  ReadAs(kind, kv::policy::ParsePolicy, "must be one of " + PolicyNames(), options.kind);
  ReadAs(budget, ParseSize, "must be a share such as 25% or a size such as 512M", options.budget);
  ReadAs(reference, kv::policy::ParseReference, "must be 'prompt' or a number of tokens",
         options.reference);
  ReadAs(positions, kv::policy::ParsePositions, "must be one of 'kept', 'compact'",
         options.positions);
  for (const Field& field : {budget, reference, positions}) {
    if (field.present() && !kind.present()) {
      field.Fail("invalid_value", "goes with 'kv_policy'");
    }
  }
  if (!kind.present() || !fields.ok()) return;
  if (const auto checked = kv::policy::Check(options); !checked) {
    const Field field = fields["kv_" + std::string(checked.error().option)];
    field.Fail(field.present() ? "invalid_value" : "missing_required_parameter",
               checked.error().text);
  }
  task.kv_policy = options;
}

std::vector<std::string> ReadStopStrings(const Field& field) {
  constexpr LengthRange kBytes{.least = 1, .most = 256};
  if (field.is_array()) return field.Strings(kBytes, {.most = 16});
  const auto one = field.String(kBytes);
  return one ? std::vector<std::string>{std::string(*one)} : std::vector<std::string>{};
}

void AppendPart(std::optional<std::string>& text, std::string_view part) {
  if (!text) {
    text = std::string(part);
    return;
  }
  *text += '\n';
  *text += part;
}

Tool ReadFlatTool(Fields& fields, std::string_view schema_key) {
  Tool tool{.name = ReadFlatName(fields.Required("name"))};
  std::vector<Member> function = {{"name", tool.name}};
  if (const auto description = fields["description"].String()) {
    function.emplace_back("description", *description);
  }
  const Field schema = fields[schema_key];
  (void)schema.Object();
  function.emplace_back(
      "parameters", schema.is_object()
                        ? ToTemplateValue(*schema.value())
                        : Value::Object({{"type", "object"}, {"properties", Value::Object({})}}));
  if (const auto strict = fields["strict"].Bool()) function.emplace_back("strict", *strict);
  tool.definition =
      Value::Object({{"type", "function"}, {"function", Value::Object(std::move(function))}});
  return tool;
}

bool HasToolNamed(const Conversation& conversation, std::string_view name) {
  return std::any_of(conversation.tools.begin(), conversation.tools.end(),
                     [&](const Tool& tool) { return tool.name == name; });
}

void AddTool(Conversation& conversation, Tool tool, const Field& item) {
  if (HasToolNamed(conversation, tool.name)) {
    item.Fail("invalid_value", "has the name of another tool");
  }
  conversation.tools.push_back(std::move(tool));
}

std::string ReadKnownTool(const Field& field, const Conversation& conversation) {
  std::string name(field.String().value_or(""));
  if (field.is_string() && !HasToolNamed(conversation, name)) {
    field.Fail("invalid_value", "is none of the tools");
  }
  return name;
}

void SetThinking(Conversation& conversation, bool enable, std::string_view effort) {
  conversation.template_arguments.emplace_back("enable_thinking", enable);
  if (!effort.empty()) conversation.template_arguments.emplace_back("reasoning_effort", effort);
}

}  // namespace plimsoll::server::api
