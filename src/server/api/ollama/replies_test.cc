#include "server/api/ollama/replies.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::ollama {
namespace {

using Kind = ReplyOptions::Kind;

constexpr const char* kNow = "1970-01-01T00:01:40.000000005Z";

ReplyOptions Ollama(Kind kind, bool stream, bool logprobs = false) {
  return {.kind = kind, .stream = stream, .logprobs = logprobs, .now = [] {
            return std::chrono::system_clock::time_point(std::chrono::nanoseconds(100'000'000'005));
          }};
}

std::string WriteOllama(const ReplyOptions& options, const std::vector<Event>& events) {
  const auto writer = MakeReply({.model = "m:latest"}, options);
  std::string text = writer->Start();
  for (const Event& event : events) text += writer->Write(event);
  return text;
}

std::string Head() { return std::string(R"({"model":"m:latest","created_at":")") + kNow + R"(",)"; }

const Usage kUsage{.prompt_tokens = 7,
                   .cached_tokens = 4,
                   .completion_tokens = 9,
                   .queue_seconds = 0.25,
                   .prefill_seconds = 0.5,
                   .decode_seconds = 1.5,
                   .total_seconds = 2.25};
constexpr const char* kDone =
    R"("done":true,"done_reason":"stop","total_duration":2250000000,"load_duration":0,)"
    R"("prompt_eval_count":7,"prompt_eval_duration":500000000,"eval_count":9,)"
    R"("eval_duration":1500000000})"
    "\n";

std::vector<Event> ThinkingTextAndCall() {
  return {ReasoningEvent{.text = "Hm."},
          TextEvent{},
          TextEvent{.text = "Ja"},
          TextEvent{.text = "\n"},
          ToolCallBegin{.index = 0, .id = "call_a", .name = "weather"},
          ToolCallArguments{.index = 0, .text = "{\"city\":\n "},
          ToolCallArguments{.index = 0, .text = "\"Bonn\"}"},
          ToolCallEnd{.index = 0},
          ChoiceEnd{.finish = Finish::kToolCalls},
          TaskEnd{.usage = kUsage}};
}

constexpr const char* kCalls =
    R"("tool_calls":[{"id":"call_a","function":{"index":0,"name":"weather",)"
    R"("arguments":{"city":"Bonn"}}}])";

TEST(OllamaReplies, ChatStreamsALineForEachPart) {
  const std::string line = Head() + R"("message":{"role":"assistant","content":")";
  EXPECT_EQ(WriteOllama(Ollama(Kind::kChat, true), ThinkingTextAndCall()),
            line + R"(","thinking":"Hm."},"done":false})" + "\n" +  //
                line + R"(Ja"},"done":false})" + "\n" +             //
                line + R"(\n"},"done":false})" + "\n" +             //
                line + R"(",)" + kCalls + R"(},"done":false})" + "\n" + line + R"("},)" + kDone);
}

TEST(OllamaReplies, ChatInOneBody) {
  EXPECT_EQ(WriteOllama(Ollama(Kind::kChat, false), ThinkingTextAndCall()),
            Head() + R"("message":{"role":"assistant","content":"Ja\n","thinking":"Hm.",)" +
                kCalls + "}," + kDone);
}

TEST(OllamaReplies, GenerateStreamsItsResponse) {
  const std::vector<Event> events = {ReasoningEvent{.text = "Hm."}, TextEvent{.text = "Ja"},
                                     ChoiceEnd{.finish = Finish::kStopString, .stop_string = "x"},
                                     TaskEnd{.usage = kUsage}};
  EXPECT_EQ(WriteOllama(Ollama(Kind::kGenerate, true), events),
            Head() + R"("response":"","thinking":"Hm.","done":false})" + "\n" + Head() +
                R"("response":"Ja","done":false})" + "\n" + Head() + R"("response":"",)" + kDone);
  EXPECT_EQ(WriteOllama(Ollama(Kind::kGenerate, false), events),
            Head() + R"("response":"Ja","thinking":"Hm.",)" + kDone);
}

TEST(OllamaReplies, TellsTokensWhenAsked) {
  const TokenReport token{.token = {.text = "J\xC3", .logprob = -0.5F},
                          .top = {{.text = "N", .logprob = -1.5F}}};
  const std::vector<Event> events = {TextEvent{.text = "", .tokens = {token}},
                                     TextEvent{.text = "J"}, ChoiceEnd{}, TaskEnd{.usage = kUsage}};
  const std::string logprobs =
      R"("logprobs":[{"token":"J)"
      "\xEF\xBF\xBD"
      R"(","logprob":-0.5,"bytes":[74,195],"top_logprobs":[{"token":"N","logprob":-1.5,"bytes":[78]}]}],)";
  EXPECT_EQ(WriteOllama(Ollama(Kind::kGenerate, true, true), events),
            Head() + R"("response":"",)" + logprobs + "\"done\":false}\n" + Head() +
                R"("response":"J","done":false})" + "\n" + Head() + R"("response":"",)" + kDone);
  EXPECT_EQ(WriteOllama(Ollama(Kind::kGenerate, false, true), events),
            Head() + R"("response":"J",)" + logprobs + kDone);
  EXPECT_EQ(WriteOllama(Ollama(Kind::kGenerate, false), events),
            Head() + R"("response":"J",)" + kDone);
}

TEST(OllamaReplies, LengthIsSaid) {
  const std::string body =
      WriteOllama(Ollama(Kind::kChat, true), {ChoiceEnd{.finish = Finish::kLength}, TaskEnd{}});
  EXPECT_NE(body.find(R"("done_reason":"length")"), std::string::npos);
}

TEST(OllamaReplies, AFailureIsALine) {
  const TaskFailed failed{{.status = 500, .message = "The disk failed."}};
  EXPECT_EQ(WriteOllama(Ollama(Kind::kChat, true), {failed}), "{\"error\":\"The disk failed.\"}\n");
  EXPECT_EQ(WriteOllama(Ollama(Kind::kChat, false), {TextEvent{.text = "a"}, failed}),
            "{\"error\":\"The disk failed.\"}\n");
  const http::Response response =
      ErrorResponse({.status = 501, .message = "m", .may_retry = false});
  EXPECT_EQ(response.status, 501U);
  EXPECT_EQ(response.body, R"({"error":"m"})");
  EXPECT_EQ(response.headers,
            (std::vector<std::pair<std::string, std::string>>{{"x-should-retry", "false"}}));
}

TEST(OllamaReplies, LoadingIsAReplyWithoutText) {
  EXPECT_EQ(LoadedBody("m:latest", Ollama(Kind::kChat, true), false),
            Head() +
                R"("message":{"role":"assistant","content":""},"done":true,"done_reason":"load"})" +
                "\n");
  EXPECT_EQ(LoadedBody("m:latest", Ollama(Kind::kGenerate, true), true),
            Head() + R"("response":"","done":true,"done_reason":"unload"})" + "\n");
}

}  // namespace
}  // namespace plimsoll::server::api::ollama
