#include "server/api/answer_grammars.h"

#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace plimsoll::server::api {
namespace {

output::AnswerForm SchemaForm(const std::string& schema) {
  return output::PlainForm({.kind = Constraint::Kind::kJsonSchema,
                            .source = schema,
                            .choices = {},
                            .param = "json_schema"});
}

TEST(AnswerGrammars, CompileOnceForRequestsThatComeTogether) {
  TestServer server;
  AnswerGrammars grammars(server.service().tokenizer());
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i) {
    clients.emplace_back([&grammars] {
      const auto filter = grammars.Filter(SchemaForm(R"({"type":"object"})"), true);
      EXPECT_TRUE(filter && (*filter)->Mask());
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(grammars.totals().n_compiled, 1U);
}

TEST(AnswerGrammars, KeepTheLatest) {
  TestServer server;
  AnswerGrammars grammars(server.service().tokenizer());
  const auto need = [&](size_t i) {
    EXPECT_TRUE(grammars.Filter(SchemaForm("{\"const\":" + std::to_string(i) + "}"), true));
  };
  for (size_t i = 0; i <= AnswerGrammars::kMaxGrammars; ++i) {
    need(i);
  }
  const uint64_t n = grammars.totals().n_compiled;
  need(AnswerGrammars::kMaxGrammars);
  EXPECT_EQ(grammars.totals().n_compiled, n);
  need(0);
  EXPECT_EQ(grammars.totals().n_compiled, n + 1);
  EXPECT_FALSE(grammars.Filter(SchemaForm("{\"not\":{}}"), true));
}

std::string SchemaOfManyMembers(size_t number) {
  std::string members;
  for (size_t i = 0; i < 60; ++i) {
    members += fmt::format("{}\"{}_{}\":{{\"type\":\"null\"}}", i == 0 ? "" : ",", number, i);
  }
  return R"({"type":"object","properties":{)" + members + "}}";
}

TEST(AnswerGrammars, KeepNoMoreThanTheirBytes) {
  TestServer server;
  constexpr uint64_t kBytes = 256 << 10;
  AnswerGrammars grammars(server.service().tokenizer(), kBytes);
  constexpr size_t kN = 32;
  for (size_t i = 0; i < kN; ++i) {
    ASSERT_TRUE(grammars.Filter(SchemaForm(SchemaOfManyMembers(i)), true));
    EXPECT_LE(grammars.totals().bytes, kBytes);
  }
  EXPECT_GT(grammars.totals().bytes, kBytes / 2);
  EXPECT_LT(grammars.totals().n_kept, kN);
  ASSERT_TRUE(grammars.Filter(SchemaForm(SchemaOfManyMembers(kN - 1)), true));
  EXPECT_EQ(grammars.totals().n_compiled, kN);
  ASSERT_TRUE(grammars.Filter(SchemaForm(SchemaOfManyMembers(0)), true));
  EXPECT_EQ(grammars.totals().n_compiled, kN + 1);
}

}  // namespace
}  // namespace plimsoll::server::api
