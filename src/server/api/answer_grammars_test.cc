#include "server/api/answer_grammars.h"

#include <thread>
#include <vector>

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
  EXPECT_EQ(grammars.n_compiled(), 1U);
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
  const uint64_t n = grammars.n_compiled();
  need(AnswerGrammars::kMaxGrammars);
  EXPECT_EQ(grammars.n_compiled(), n);
  need(0);
  EXPECT_EQ(grammars.n_compiled(), n + 1);
  EXPECT_FALSE(grammars.Filter(SchemaForm("{\"not\":{}}"), true));
}

}  // namespace
}  // namespace plimsoll::server::api
