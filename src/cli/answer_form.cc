#include "cli/answer_form.h"

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "cli/prompt_source.h"
#include "server/api/output/answer_grammar.h"

namespace plimsoll::cli {
namespace {

using server::api::Constraint;

// What a client of the server is told, whatever its status.
Error UsageErrorOf(const server::api::ApiError& error) {
  return {.kind = ErrorKind::kUsage, .message = error.message};
}

// An option as it was given.
struct GivenForm {
  std::string_view option;
  const std::string* value;
  Constraint::Kind kind;
  bool is_file;
};

std::vector<GivenForm> GivenForms(const FormFlags& flags) {
  using Kind = Constraint::Kind;
  std::vector<GivenForm> given;
  const auto add = [&](std::string_view option, const std::optional<std::string>& value, Kind kind,
                       bool is_file) {
    if (value) {
      given.push_back({option, &*value, kind, is_file});
    }
  };
  add("--grammar", flags.grammar, Kind::kGbnf, false);
  add("--grammar-file", flags.grammar_file, Kind::kGbnf, true);
  add("--json-schema", flags.json_schema, Kind::kJsonSchema, false);
  add("--json-schema-file", flags.json_schema_file, Kind::kJsonSchema, true);
  return given;
}

}  // namespace

void AddFormOptions(CommandLine& line, FormFlags& flags) {
  line.Text("--grammar", "TEXT", "hold the answer to a grammar (GBNF)", flags.grammar);
  line.Text("--grammar-file", "FILE", "the same from a file", flags.grammar_file);
  line.Text("-j,--json-schema", "TEXT", "hold it to a JSON schema ({}: any JSON)",
            flags.json_schema);
  line.Text("-jf,--json-schema-file", "FILE", "the same from a file", flags.json_schema_file);
}

Result<std::optional<Constraint>> ReadForm(const FormFlags& flags) {
  const std::vector<GivenForm> given = GivenForms(flags);
  if (given.empty()) {
    return std::nullopt;
  }
  if (given.size() > 1) {
    return Fail(ErrorKind::kUsage, "{} and {}: an answer has one form", given[0].option,
                given[1].option);
  }
  const GivenForm& one = given.front();
  Constraint form = {
      .kind = one.kind, .source = *one.value, .choices = {}, .param = std::string(one.option)};
  if (one.is_file) {
    auto text = ReadTextFrom(*one.value, Constraint::kMaxBytes);
    if (!text) {
      return Forward(text);
    }
    form.source = *std::move(text);
    form.param += " " + *one.value;
  }
  // A model may take minutes to load.
  const auto compiled = server::api::CompileForm(server::api::output::PlainForm(form));
  if (!compiled) {
    return tl::unexpected(UsageErrorOf(compiled.error()));
  }
  return form;
}

AnswerFilters::AnswerFilters(std::optional<Constraint> form, const engine::Engine& engine,
                             bool is_raw)
    : form_(std::move(form)), engine_(engine), is_raw_(is_raw), grammars_(engine.tokenizer()) {}

std::optional<server::api::output::AnswerForm> AnswerFilters::FormBehind(
    std::string_view prompt) const {
  if (is_raw_) {
    return server::api::output::PlainForm(*form_);
  }
  const auto chat_template = engine_.chat_template();
  const auto format = server::api::output::FindOutputFormat(
      chat_template && *chat_template != nullptr ? (*chat_template)->source() : std::string_view());
  return server::api::output::FindAnswerForm(format, {}, form_, prompt);
}

Result<std::shared_ptr<sampling::TokenFilter>> AnswerFilters::Make(
    std::string_view prompt, std::span<const TokenId> tokens) {
  if (!form_) {
    return nullptr;
  }
  const auto form = FormBehind(prompt);
  const bool at_start = !tokens.empty() && engine_.tokenizer().Piece(tokens.back(), false).empty();
  auto filter = grammars_.Filter(*form, at_start);
  if (!filter) {
    return tl::unexpected(UsageErrorOf(filter.error()));
  }
  return *std::move(filter);
}

}  // namespace plimsoll::cli
