#include "server/api/constraint_fields.h"

#include <string>
#include <utility>

#include <boost/json/value.hpp>

namespace plimsoll::server::api {
namespace {

using Kind = Constraint::Kind;

constexpr uint64_t kChoicesOfTextMost = 10'000;

Constraint OfSchema(const Field& schema) {
  return {
      .kind = Kind::kJsonSchema, .source = schema.Json(), .choices = {}, .param = schema.path()};
}

// A schema is an object; true and false are schemas as well.
std::optional<Constraint> ReadSchema(const Field& schema) {
  if (!schema.present()) return std::nullopt;
  if (!schema.is_bool()) (void)schema.Object();
  return OfSchema(schema);
}

Constraint AnyObject(const Field& field) {
  return {.kind = Kind::kJsonObject, .source = {}, .choices = {}, .param = field.path()};
}

// Of an object that names, describes and holds a schema.
std::optional<Constraint> ReadNamedSchema(Fields& fields, const Field& whole) {
  (void)fields["name"].String({.least = 1, .most = 256});
  (void)fields["description"].String();
  (void)fields["strict"].Bool();
  const Field schema = fields["schema"];
  std::optional<Constraint> constraint = ReadSchema(schema);
  return constraint ? std::move(constraint) : AnyObject(whole);
}

std::optional<Constraint> ReadText(const Field& field, Kind kind) {
  const auto text = field.String({.most = Constraint::kMaxBytes});
  if (!text || text->empty()) return std::nullopt;
  return Constraint{
      .kind = kind, .source = std::string(*text), .choices = {}, .param = field.path()};
}

std::optional<Constraint> ReadChoices(const Field& field) {
  if (!field.present()) return std::nullopt;
  return Constraint{.kind = Kind::kChoice,
                    .source = {},
                    .choices = field.Strings({.most = Constraint::kMaxBytes},
                                             {.least = 1, .most = kChoicesOfTextMost}),
                    .param = field.path()};
}

// As an object, or as its text.
std::optional<Constraint> ReadSchemaOrText(const Field& field) {
  return field.is_string() ? ReadText(field, Kind::kJsonSchema) : ReadSchema(field);
}

}  // namespace

std::optional<Constraint> ReadResponseFormat(const Field& field) {
  if (!field.present()) return std::nullopt;
  Fields fields = field.Object();
  std::optional<Constraint> constraint;
  const auto type = fields.Required("type").OneOf({"text", "json_object", "json_schema"});
  if (type == 1U) {
    constraint = ReadSchema(fields["schema"]);
    if (!constraint) constraint = AnyObject(field);
  } else if (type == 2U) {
    const Field whole = fields.Required("json_schema");
    Fields members = whole.Object();
    constraint = ReadNamedSchema(members, whole);
    members.NoteUnknown();
  }
  fields.NoteUnknown();
  return constraint;
}

std::optional<Constraint> ReadFlatFormat(const Field& field) {
  if (!field.present()) return std::nullopt;
  Fields fields = field.Object();
  std::optional<Constraint> constraint;
  const auto type = fields.Required("type").OneOf({"text", "json_object", "json_schema"});
  if (type == 1U) {
    constraint = AnyObject(field);
  } else if (type == 2U) {
    (void)fields.Required("schema");
    constraint = ReadNamedSchema(fields, field);
  }
  fields.NoteUnknown();
  return constraint;
}

std::optional<Constraint> ReadOllamaFormat(const Field& field) {
  if (!field.is_string()) return ReadSchema(field);
  const auto name = field.OneOf({"", "json"});
  return name == 1U ? std::optional(AnyObject(field)) : std::nullopt;
}

std::optional<Constraint> OnlyOne(std::optional<Constraint> first, std::optional<Constraint> second,
                                  const Fields& fields) {
  if (first && second) {
    fields.Fail("invalid_value", "may say in one way what the answer has to be: '" + first->param +
                                     "' or '" + second->param + "'");
  }
  return first ? std::move(first) : std::move(second);
}

std::optional<Constraint> ReadConstraintMembers(Fields& fields) {
  const auto read = [](Fields& members, std::string_view json, std::string_view regex,
                       std::string_view grammar, std::string_view choice) {
    auto constraint =
        OnlyOne(ReadSchemaOrText(members[json]), ReadText(members[regex], Kind::kRegex), members);
    constraint = OnlyOne(std::move(constraint), ReadText(members[grammar], Kind::kGbnf), members);
    return OnlyOne(std::move(constraint), ReadChoices(members[choice]), members);
  };
  auto constraint = read(fields, "guided_json", "guided_regex", "guided_grammar", "guided_choice");
  const Field outputs = fields["structured_outputs"];
  Fields members = outputs.Object();
  auto structured = read(members, "json", "regex", "grammar", "choice");
  if (const Field any = members["json_object"]; any.Bool().value_or(false)) {
    structured = OnlyOne(std::move(structured), AnyObject(any), members);
  }
  for (const std::string_view key : {"structural_tag", "whitespace_pattern"}) {
    if (const Field other = members[key]; other.present()) {
      other.FailUnsupported("a grammar can say the same");
    }
  }
  members.NoteUnknown();
  constraint = OnlyOne(std::move(constraint), std::move(structured), fields);
  constraint = OnlyOne(std::move(constraint), ReadText(fields["grammar"], Kind::kGbnf), fields);
  return OnlyOne(std::move(constraint), ReadSchemaOrText(fields["json_schema"]), fields);
}

}  // namespace plimsoll::server::api
