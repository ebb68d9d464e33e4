#include "cli/answer_form.h"

#include <fstream>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_engine.h"
#include "engine/chat.h"
#include "server/test_server.h"
#include "text/jinja/value.h"

namespace plimsoll::cli {
namespace {

using server::api::Constraint;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kPerson =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":20},
        "age":{"type":"integer","minimum":0,"maximum":120}},
        "required":["name","age"],"additionalProperties":false})";

std::string FileWith(const std::string& name, const std::string& text) {
  std::string path = testing::TempDir() + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::string RefusalOf(const FormFlags& flags, ErrorKind kind = ErrorKind::kUsage) {
  const auto form = ReadForm(flags);
  EXPECT_FALSE(form);
  if (form) return "";
  EXPECT_EQ(form.error().kind, kind) << form.error().message;
  return form.error().message;
}

TEST(ReadForm, TakesTextOrAFile) {
  EXPECT_FALSE(ReadForm({}).value());
  const auto grammar = ReadForm({.grammar = "root ::= \"a\""}).value();
  EXPECT_EQ(grammar->kind, Constraint::Kind::kGbnf);
  EXPECT_EQ(grammar->source, "root ::= \"a\"");
  const std::string path = FileWith("person.json", std::string(kPerson) + "\n");
  const auto schema = ReadForm({.json_schema_file = path}).value();
  EXPECT_EQ(schema->kind, Constraint::Kind::kJsonSchema);
  EXPECT_EQ(schema->source, kPerson);
}

TEST(ReadForm, NamesWhatCannotBeFollowedAndWhere) {
  EXPECT_EQ(RefusalOf({.grammar = "root ::= \"a\"", .json_schema_file = "x"}),
            "--grammar and --json-schema-file: an answer has one form");
  EXPECT_EQ(RefusalOf({.json_schema = R"({"properties":{"a":{"uniqueItems":true}}})"}),
            "'--json-schema' cannot be followed: at /properties/a/uniqueItems: the keyword is not "
            "supported");
  EXPECT_THAT(RefusalOf({.json_schema = "{"}), StartsWith("'--json-schema' cannot be followed: "));
  EXPECT_THAT(RefusalOf({.grammar = "root ::= ("}), HasSubstr("byte "));
  EXPECT_THAT(RefusalOf({.grammar = ""}), StartsWith("'--grammar' cannot be followed: "));
  const std::string path = FileWith("broken.gbnf", "root ::= other");
  EXPECT_THAT(RefusalOf({.grammar_file = path}), StartsWith("'--grammar-file " + path + "'"));
}

TEST(ReadForm, BoundsWhatItReads) {
  EXPECT_THAT(RefusalOf({.grammar_file = "/dev/zero"}), HasSubstr("more than 1.00 MiB"));
  EXPECT_THAT(RefusalOf({.json_schema_file = "/nowhere/a"}, ErrorKind::kIo),
              StartsWith("/nowhere/a: No such file"));
  const std::string large = FileWith("large.json", "{" + std::string(600 << 10, ' ') + "}");
  EXPECT_THAT(RefusalOf({.json_schema_file = large}), HasSubstr("at most 524288"));
}

// Whether the filter takes the bytes one by one, and nothing can follow.
bool TakesAll(sampling::TokenFilter& filter, std::string_view text) {
  for (const char c : text) {
    const TokenId token = static_cast<unsigned char>(c);
    if (!filter.Allows(token)) return false;
    filter.Accept(token);
  }
  return filter.Allows(kFakeEnd);
}

TEST(AnswerFilters, LetAModelThatReasonsReasonFirst) {
  FakeScript script;
  script.chat_template = text::ChatTemplate::Parse("{# <think> and </think> #}").value();
  const FakeEngine engine(script);
  const auto takes = [&](bool is_raw, std::string_view prompt, std::string_view answer) {
    AnswerFilters filters(ReadForm({.json_schema = R"({"const":1})"}).value(), engine, is_raw);
    return TakesAll(**filters.Make(prompt, {}), answer);
  };
  EXPECT_TRUE(takes(false, "Well?", "<think>hm</think>\n1"));
  EXPECT_TRUE(takes(false, "Well?", "1"));
  EXPECT_TRUE(takes(false, "Well?<think>\n", "hm</think>\n\n1"));
  EXPECT_FALSE(takes(false, "Well?<think>\n</think>\n", "hm</think>1"));
  EXPECT_FALSE(takes(true, "Well?", "<think>hm</think>1"));
  EXPECT_TRUE(takes(true, "Well?", "1"));
}

TEST(AnswerFilters, AreNoneWithoutAForm) {
  FakeScript script;
  const FakeEngine engine(script);
  EXPECT_EQ(AnswerFilters(std::nullopt, engine, false).Make("", {}).value(), nullptr);
}

TEST(AnswerFilters, GiveTheServersAnswer) {
  const auto engine = engine::Engine::Load({.n_ctx = 512, .n_threads = 1}, {}).value();
  const auto session = engine->NewSession().value();
  server::TestServer server;
  const FormFlags flags = {.json_schema = kPerson};
  AnswerFilters filters(ReadForm(flags).value(), *engine, false);
  const std::vector<engine::ChatMessage> messages = {{.role = "user", .content = "Who?"}};
  const std::string prompt =
      engine::RenderChat(engine->chat_template().value(), engine->tokenizer(), messages).value();
  const auto tokens = engine::EncodePrompt(engine->tokenizer(), prompt);
  for (const uint64_t seed : {1U, 2U, 3U}) {
    engine::GenerateOptions options = {.n_predict = 100};
    options.sampling.seed = seed;
    options.sampling.temperature = 1.5F;
    std::string text;
    const auto filter = filters.Make(prompt, tokens).value();
    const auto stats = session->Generate(
        tokens, options,
        [&](std::string_view part) {
          text += part;
          return true;
        },
        filter.get());
    ASSERT_TRUE(stats) << stats.error().message;
    EXPECT_EQ(stats->reason, engine::FinishReason::kEnd) << text;
    EXPECT_THAT(text, HasSubstr("\"name\""));
    const auto reply = server.Ask(
        "POST", "/v1/chat/completions",
        fmt::format(R"({{"messages":[{{"role":"user","content":"Who?"}}],"max_tokens":100,
            "temperature":1.5,"seed":{},"json_schema":{}}})",
                    seed, kPerson));
    const auto choices = text::jinja::ParseJson(reply.body).value().Get("choices");
    EXPECT_EQ(text, choices.list().at(0).Get("message").Get("content").string());
  }
}

}  // namespace
}  // namespace plimsoll::cli
