#include "server/server.h"

#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"
#include "text/jinja/value.h"

namespace plimsoll::server {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kFrance =
    R"("messages":[{"role":"user","content":"What is the capital of France?"}],"temperature":0)";

std::string ChatBody(const std::string& members) {
  return std::string("{") + kFrance + (members.empty() ? "" : "," + members) + "}";
}

text::jinja::Value Json(const std::string& text) {
  auto value = text::jinja::ParseJson(text);
  EXPECT_TRUE(value) << text;
  return value ? *value : text::jinja::Value();
}

std::string ContentOf(const http::Response& response) {
  const auto choice = Json(response.body).Get("choices").list().at(0);
  return choice.Get("message").Get("content").string();
}

TEST(ServerRoutes, ChatsInOneReply) {
  TestServer server;
  const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(response.content_type, "application/json");
  EXPECT_THAT(ContentOf(response), HasSubstr("Paris"));
  const auto usage = Json(response.body).Get("usage");
  EXPECT_GT(usage.Get("prompt_tokens").number(), 5);
  EXPECT_GT(usage.Get("completion_tokens").number(), 1);
  EXPECT_EQ(usage.Get("prompt_tokens_details").Get("cached_tokens").number(), 0);
  const auto again = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_EQ(ContentOf(again), ContentOf(response));
  EXPECT_GT(
      Json(again.body).Get("usage").Get("prompt_tokens_details").Get("cached_tokens").number(), 5);
}

TEST(ServerRoutes, StreamsTheSameText) {
  TestServer server;
  const auto whole = ContentOf(server.Ask("POST", "/v1/chat/completions", ChatBody("")));
  const auto stream = server.Ask("POST", "/v1/chat/completions", ChatBody(R"("stream":true)"));
  EXPECT_THAT(stream.content_type, StartsWith("text/event-stream"));
  EXPECT_THAT(stream.body, EndsWith("data: [DONE]\n\n"));
  std::string text;
  std::string_view rest = stream.body;
  while (rest.starts_with("data: {")) {
    const size_t end = rest.find("\n\n");
    const auto chunk = Json(std::string(rest.substr(6, end - 6)));
    rest.remove_prefix(end + 2);
    for (const auto& choice : chunk.Get("choices").list()) {
      const auto content = choice.Get("delta").Get("content");
      text += content.is(text::jinja::Kind::kString) ? content.string() : "";
    }
  }
  EXPECT_EQ(text, whole);
}

TEST(ServerRoutes, GivesSeveralChoicesForOnePrefill) {
  TestServer server;
  const auto response = server.Ask(
      "POST", "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Tell me a story about a fox called Ada."}],
          "n":3,"seed":7,"temperature":1.2,"max_tokens":12})");
  const auto choices = Json(response.body).Get("choices").list();
  ASSERT_EQ(choices.size(), 3U);
  const auto text = [&](size_t i) { return choices[i].Get("message").Get("content").string(); };
  EXPECT_FALSE(text(0) == text(1) && text(1) == text(2));
  EXPECT_EQ(choices[2].Get("index").number(), 2);
  EXPECT_EQ(choices[0].Get("finish_reason").string(), "length");
  EXPECT_EQ(Json(response.body).Get("usage").Get("completion_tokens").number(), 36);
}

TEST(ServerRoutes, RefusesWithNumbersWhatTheContextCannotHold) {
  TestServer server;
  std::string text;
  for (int i = 0; i < 600; ++i) {
    text += "fox ";
  }
  const auto response = server.Ask("POST", "/v1/chat/completions",
                                   R"({"messages":[{"role":"user","content":")" + text + R"("}]})");
  EXPECT_EQ(response.status, 400U);
  EXPECT_THAT(response.body, AllOf(HasSubstr("context_length_exceeded"), HasSubstr("512")));
}

// What a snapshot says is of the last step that is over.
void WaitUntilIdle(const engine::Service& service) {
  for (int i = 0; i < 2000; ++i) {
    const auto snapshot = service.Snapshot();
    if (snapshot.running.empty() && snapshot.paused.empty() && snapshot.n_waiting == 0) {
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL() << "requests are still computed";
}

TEST(ServerRoutes, StopsComputingForAClientThatLeft) {
  TestServer server;
  const auto exchange = server.Start(
      "POST", "/v1/completions",
      R"({"prompt":"Once upon a time","max_tokens":450,"stream":true,"ignore_eos":true})");
  exchange->Leave();
  WaitUntilIdle(server.service());
  const auto snapshot = server.service().Snapshot();
  EXPECT_LT(snapshot.generated_tokens, 450U);
}

TEST(ServerRoutes, HoldsACompletionToItsResponseFormat) {
  TestServer server;
  const auto text = [&](const std::string& format) {
    const auto response = server.Ask(
        "POST", "/v1/completions",
        R"({"prompt":"Who?","max_tokens":200,"seed":1,"response_format":)" + format + "}");
    EXPECT_EQ(response.status, 200U) << response.body;
    return Json(response.body).Get("choices").list().at(0).Get("text").string();
  };
  const auto person = Json(text(R"({"type":"json_schema","json_schema":{"name":"person","schema":
      {"type":"object","properties":{"name":{"type":"string","maxLength":20}},
       "required":["name"],"additionalProperties":false}}})"));
  EXPECT_TRUE(person.Get("name").is(text::jinja::Kind::kString));
  EXPECT_THAT(text(R"({"type":"json_object"})"), StartsWith("{"));
  const auto refused =
      server.Ask("POST", "/v1/completions",
                 R"({"prompt":"Who?","response_format":{"type":"json_schema","json_schema":
          {"schema":{"not":{}}}}})");
  EXPECT_EQ(refused.status, 400U);
  EXPECT_THAT(refused.body, HasSubstr("response_format.json_schema.schema"));
}

TEST(ServerRoutes, SaysOverloadWithTheTimeToWait) {
  TestServer server({.n_parallel = 1, .max_queue = 1, .max_running = 1});
  std::vector<std::shared_ptr<TestExchange>> exchanges;
  for (int i = 0; i < 20; ++i) {
    exchanges.push_back(
        server.Start("POST", "/v1/completions",
                     R"({"prompt":"Once upon a time","max_tokens":200,"ignore_eos":true})"));
  }
  size_t n_refused = 0;
  for (const auto& exchange : exchanges) {
    const auto response = exchange->Wait();
    if (response.status == 429) {
      ++n_refused;
      EXPECT_THAT(response.body, HasSubstr("server_overloaded"));
      EXPECT_THAT(response.headers, testing::Contains(testing::Pair("Retry-After", "1")));
    } else {
      EXPECT_EQ(response.status, 200U);
    }
  }
  EXPECT_GT(n_refused, 10U);
}

TEST(ServerRoutes, EndsAStreamThatIsCutWithAnErrorAndAReset) {
  TestServer server;
  const auto exchange = server.Start(
      "POST", "/v1/completions",
      R"({"prompt":"Once upon a time","max_tokens":450,"stream":true,"ignore_eos":true})");
  server.service().Drain(std::chrono::steady_clock::now());
  const auto response = exchange->Wait();
  EXPECT_THAT(response.body, AllOf(HasSubstr("server_stopping"), Not(HasSubstr("[DONE]"))));
  EXPECT_TRUE(exchange->aborted());
}

TEST(ServerRoutes, Embeds) {
  TestServer server;
  const auto floats =
      Json(server.Ask("POST", "/v1/embeddings", R"({"input":["a fox","a bear"]})").body);
  EXPECT_EQ(floats.Get("data").list().size(), 2U);
  EXPECT_EQ(floats.Get("data").list()[1].Get("embedding").list().size(), 128U);
  const auto ollama =
      Json(server.Ask("POST", "/api/embed", R"({"model":"","input":"a fox"})").body);
  EXPECT_EQ(ollama.Get("embeddings").list().size(), 1U);
}

TEST(ServerRoutes, SpeaksTheOtherDialects) {
  TestServer server;
  const auto messages =
      server.Ask("POST", "/v1/messages", ChatBody(R"("max_tokens":20,"model":"")"));
  EXPECT_EQ(messages.status, 200U) << messages.body;
  EXPECT_THAT(messages.body, HasSubstr("Paris"));
  const auto counted = server.Ask("POST", "/v1/messages/count_tokens", ChatBody(R"("model":"")"));
  EXPECT_GT(Json(counted.body).Get("input_tokens").number(), 5);
  const auto responses = server.Ask(
      "POST", "/v1/responses", R"({"input":"What is the capital of France?","temperature":0})");
  EXPECT_THAT(responses.body, HasSubstr("Paris"));
  const auto ollama = server.Ask("POST", "/api/chat", ChatBody(R"("model":"","stream":false)"));
  EXPECT_THAT(ollama.body, HasSubstr("\"done\":true"));
}

TEST(ServerRoutes, TellsTokens) {
  TestServer server;
  const auto tokens = server.Ask("POST", "/tokenize", R"({"content":"Hello"})");
  const auto back = server.Ask("POST", "/detokenize", tokens.body);
  EXPECT_EQ(Json(back.body).Get("content").string(), "Hello");
  EXPECT_EQ(server.Ask("POST", "/detokenize", R"({"tokens":[999999]})").status, 400U);
  const auto prompt = server.Ask("POST", "/apply-template", ChatBody(""));
  EXPECT_THAT(Json(prompt.body).Get("prompt").string(), EndsWith("<|im_start|>assistant\n"));
}

TEST(ServerRoutes, TellsOfItself) {
  TestServer server;
  server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  WaitUntilIdle(server.service());
  EXPECT_THAT(server.Ask("GET", "/props").body, HasSubstr("\"n_ctx\":512"));
  EXPECT_THAT(server.Ask("GET", "/props").body, HasSubstr("\"total_slots\":2,"));
  EXPECT_EQ(server.Ask("GET", "/slots").body, "[]");
  const auto models = Json(server.Ask("GET", "/v1/models").body).Get("data").list();
  ASSERT_EQ(models.size(), 1U);
  const std::string name = models[0].Get("id").string();
  EXPECT_EQ(server.Ask("GET", "/v1/models/" + name).status, 200U);
  EXPECT_EQ(server.Ask("GET", "/v1/models/other").status, 404U);
  EXPECT_THAT(server.Ask("GET", "/api/tags").body, HasSubstr(name));
  EXPECT_EQ(server.Ask("POST", "/api/pull", "{}").status, 501U);
  const auto metrics = server.Ask("GET", "/metrics");
  EXPECT_THAT(metrics.content_type, StartsWith("text/plain"));
  EXPECT_THAT(
      metrics.body,
      AllOf(
          HasSubstr("plimsoll_requests_finished_total{model=\"" + name + "\",reason=\"end\"} 1\n"),
          HasSubstr("plimsoll_e2e_request_latency_seconds_count{model=\"" + name + "\"} 1\n"),
          HasSubstr("plimsoll_budget_bytes{model=\"" + name + "\",class=\"kv\"}")));
}

TEST(ServerRoutes, MovesTheLine) {
  TestServer server;
  const uint64_t line = server.service().ledger().budget_bytes;
  const auto put = [&](const std::string& body) {
    return server.Ask("PUT", "/v1/engine/line", body);
  };
  const auto moved = put("{\"bytes\":" + std::to_string(line - 4096) + "}");
  EXPECT_EQ(moved.status, 200U);
  EXPECT_EQ(server.service().ledger().budget_bytes, line - 4096);
  EXPECT_EQ(put(R"({"bytes":4096})").status, 409U);
  EXPECT_EQ(put(R"({"memory":"50%"})").status, 400U);
  EXPECT_EQ(put(R"({"memory":7})").status, 400U);
  EXPECT_EQ(put("{}").status, 400U);
  EXPECT_EQ(server.service().ledger().budget_bytes, line - 4096);
  EXPECT_THAT(
      server.Ask("GET", "/v1/engine/memory").body,
      AllOf(HasSubstr("\"kv\":"), HasSubstr("\"resident_bytes\":"), HasSubstr("\"bound\":null")));
}

TEST(ServerRoutes, TellsThatKeysAndValuesAreQuantized) {
  TestServer server({.n_parallel = 2}, {.type = tensor::KvType::kQ8, .layers = {}});
  const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_THAT(ContentOf(response), HasSubstr("Paris"));
  EXPECT_EQ(Json(response.body).Get("usage").Get("plimsoll").Get("kv_type").string(), "q8");
  const auto messages =
      server.Ask("POST", "/v1/messages",
                 R"({"model":"","max_tokens":8,"messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(Json(messages.body).Get("usage").Get("plimsoll").Get("kv_type").string(), "q8");
  EXPECT_THAT(server.Ask("GET", "/v1/engine/memory").body, HasSubstr(R"("kv_type":"q8")"));
  EXPECT_THAT(server.Ask("GET", "/metrics").body, HasSubstr("plimsoll_kv_cache_info{"));
  EXPECT_THAT(server.Ask("GET", "/metrics").body, HasSubstr(R"(type="q8"} 1)"));
}

// In every dialect, of this request alone.
TEST(ServerRoutes, ARequestSaysWhichOfItsKeysAndValuesStay) {
  TestServer server({.n_parallel = 2});
  const std::string policy = R"("kv_policy":"window","kv_budget":"25%")";
  const auto policy_of = [&](const std::string& path, const std::string& body) {
    const auto response = server.Ask("POST", path, body);
    EXPECT_EQ(response.status, 200U) << response.body;
    return Json(response.body).Get("usage").Get("plimsoll").Get("kv_policy").string();
  };
  const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(policy));
  EXPECT_THAT(ContentOf(response), HasSubstr("Paris"));
  EXPECT_THAT(response.body, HasSubstr(R"("plimsoll":{"kv_policy":"window 25%"})"));
  EXPECT_EQ(policy_of("/v1/completions", R"({"prompt":"Hello","max_tokens":4,)" + policy + "}"),
            "window 25%");
  EXPECT_EQ(policy_of("/v1/responses", R"({"input":"Hello","max_output_tokens":4,)" + policy + "}"),
            "window 25%");
  EXPECT_EQ(policy_of("/v1/messages",
                      R"({"model":"","max_tokens":4,"messages":[{"role":"user","content":"Hi"}],)" +
                          policy + "}"),
            "window 25%");
  const auto ollama = server.Ask(
      "POST", "/api/generate",
      R"({"model":"","prompt":"Hello","stream":false,"options":{"num_predict":4},)" + policy + "}");
  EXPECT_EQ(Json(ollama.body).Get("plimsoll").Get("kv_policy").string(), "window 25%");
  const auto plain = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_THAT(plain.body, Not(HasSubstr("kv_policy")));
  EXPECT_EQ(ContentOf(plain), ContentOf(response));
  const auto metrics = server.Ask("GET", "/metrics").body;
  EXPECT_THAT(metrics, HasSubstr(R"(policy="window"} 5)"));
  EXPECT_THAT(metrics, HasSubstr(R"(policy="full"} 1)"));
}

TEST(ServerRoutes, RefusesPoliciesThatThisModelCannotHave) {
  TestServer server({.n_parallel = 1}, {.type = tensor::KvType::kQ8, .layers = {}},
                    {.kind = kv::policy::PolicyKind::kWindow, .budget = SizeSpec{.percent = 50}});
  const auto refused = [&](const std::string& members) {
    const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(members));
    EXPECT_EQ(response.status, 400U) << response.body;
    return Json(response.body).Get("error").Get("param").string();
  };
  EXPECT_EQ(refused(R"("kv_policy":"window","kv_budget":"1%")"), "kv_budget");
  EXPECT_EQ(refused(R"("kv_policy":"window","kv_budget":"100%")"), "kv_budget");
  EXPECT_EQ(
      refused(R"("kv_policy":"window","kv_budget":"50%","kv_positions":"compact","stream":true)"),
      "kv_positions");
  EXPECT_EQ(refused(R"("kv_policy":"full")"), "kv_policy");
  const auto short_enough =
      server.Ask("POST", "/v1/chat/completions", ChatBody(R"("kv_policy":"full","max_tokens":16)"));
  EXPECT_EQ(short_enough.status, 200U) << short_enough.body;
  EXPECT_THAT(short_enough.body, Not(HasSubstr(R"("kv_policy")")));
}

TEST(ServerRoutes, RefusesPromptsThatCannotStayWhole) {
  TestServer server({.n_parallel = 2}, {.layers = {}},
                    {.kind = kv::policy::PolicyKind::kWindow,
                     .budget = SizeSpec{.percent = 25},
                     .reference = {.is_prompt = true}});
  const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_THAT(ContentOf(response), HasSubstr("Paris"));
  EXPECT_EQ(Json(response.body).Get("usage").Get("plimsoll").Get("kv_policy").string(),
            "window 25% reference prompt");
  std::string text = "Hello";
  for (int i = 0; i < 100; ++i) {
    text += " again";
  }
  const auto refused =
      server.Ask("POST", "/v1/completions", R"({"prompt":")" + text + R"(","max_tokens":4})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(Json(refused.body).Get("error").Get("param").string(), "kv_reference");
  EXPECT_THAT(refused.body, HasSubstr("'kv_reference' can't be a prompt of "));
}

TEST(ServerRoutes, TellsThatOnlySomeKeysAndValuesStay) {
  TestServer server({.n_parallel = 2}, {.layers = {}},
                    {.kind = kv::policy::PolicyKind::kWindow, .budget = SizeSpec{.percent = 25}});
  const auto response = server.Ask("POST", "/v1/chat/completions", ChatBody(""));
  EXPECT_THAT(ContentOf(response), HasSubstr("Paris"));
  EXPECT_EQ(Json(response.body).Get("usage").Get("plimsoll").Get("kv_policy").string(),
            "window 25%");
  EXPECT_THAT(server.Ask("GET", "/v1/engine/memory").body,
              HasSubstr(R"("kv_policy":"window 25%")"));
  EXPECT_THAT(server.Ask("GET", "/metrics").body,
              HasSubstr(R"(policy="window 25%",type="f16"} 1)"));
}

}  // namespace
}  // namespace plimsoll::server
