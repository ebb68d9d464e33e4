#include "server/api/openai/replies.h"

#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/api/json/convert.h"
#include "server/api/json/parse_body.h"

namespace plimsoll::server::api::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::SizeIs;

const ReplyIdentity kIdentity{.unique = "x1", .created = 1700000000, .model = "m"};

std::vector<TokenReport> Tokens() {
  return {{.token = {"H\xC3", -0.5F}, .top = {{"H\xC3", -0.5F}, {"a", -1.0F}}},
          {.token = {"\xA9", -INFINITY}, .top = {}}};
}

// All that a writer says of these events, cut at the blank lines; "data: " taken off.
std::vector<std::string> Chunks(ReplyWriter& writer, const std::vector<Event>& events) {
  std::string all = writer.Start();
  for (const Event& event : events) all += writer.Write(event);
  std::vector<std::string> chunks;
  while (!all.empty()) {
    const size_t end = all.find("\n\n");
    EXPECT_NE(end, std::string::npos);
    EXPECT_EQ(all.substr(0, 6), "data: ");
    chunks.push_back(all.substr(6, end - 6));
    EXPECT_EQ(chunks.back().find('\n'), std::string::npos);
    all.erase(0, end + 2);
  }
  return chunks;
}

// What a chunk has in its only choice, behind the members that are the same in each.
std::string ChoiceOf(const std::string& chunk) {
  const auto value = ParseBody(chunk);
  EXPECT_TRUE(value) << chunk;
  return ToJson(value.value().as_object().at("choices").as_array().at(0));
}

const Usage kUsage{.prompt_tokens = 10,
                   .cached_tokens = 4,
                   .completion_tokens = 5,
                   .reasoning_tokens = 2,
                   .prefill_seconds = 0.5,
                   .decode_seconds = 0.25};
constexpr std::string_view kUsageJson =
    R"("usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,)"
    R"("prompt_tokens_details":{"cached_tokens":4},)"
    R"("completion_tokens_details":{"reasoning_tokens":2}})";
constexpr std::string_view kTimingsJson =
    R"("timings":{"cache_n":4,"prompt_n":6,"prompt_ms":500,)"
    R"("prompt_per_token_ms":83.33333333333333,"prompt_per_second":12,"predicted_n":5,)"
    R"("predicted_ms":250,"predicted_per_token_ms":50,"predicted_per_second":20})";

TEST(ChatReply, SaysWhatKeysAndValuesWereKeptIn) {
  Usage usage = kUsage;
  usage.kv_type = "q8";
  const auto writer = MakeChatReply(kIdentity, {});
  const std::string reply = writer->Write(TaskEnd{usage});
  EXPECT_THAT(reply, testing::HasSubstr(R"("completion_tokens_details":{"reasoning_tokens":2},)"
                                        R"("plimsoll":{"kv_type":"q8"}})"));
  usage.kv_policy = "window 25%";
  EXPECT_THAT(writer->Write(TaskEnd{usage}),
              testing::HasSubstr(R"("plimsoll":{"kv_type":"q8","kv_policy":"window 25%"}})"));
}

TEST(ChatStream, ChunksComeInTheirOrder) {
  const auto writer = MakeChatReply(kIdentity, {.stream = true, .include_usage = true});
  EXPECT_EQ(writer->content_type(), "text/event-stream");
  EXPECT_EQ(writer->keep_alive(), ": ping\n\n");
  const std::vector<std::string> chunks =
      Chunks(*writer, {ReasoningEvent{.text = "hm"}, TextEvent{.text = "Hi \"é\"\n"}, TextEvent{},
                       ChoiceEnd{.finish = Finish::kLength}, TaskEnd{kUsage}});
  const std::string head =
      R"({"id":"chatcmpl-x1","object":"chat.completion.chunk","created":1700000000,"model":"m",)";
  EXPECT_THAT(
      chunks,
      ElementsAre(
          head + R"("choices":[{"index":0,"delta":{"role":"assistant","content":""},)"
                 R"("logprobs":null,"finish_reason":null}],"usage":null})",
          head + R"("choices":[{"index":0,"delta":{"reasoning_content":"hm","reasoning":"hm"},)"
                 R"("logprobs":null,"finish_reason":null}],"usage":null})",
          head + R"("choices":[{"index":0,"delta":{"content":"Hi \"é\"\n"},)"
                 R"("logprobs":null,"finish_reason":null}],"usage":null})",
          head + R"("choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],)"
                 R"("usage":null})",
          head + R"("choices":[],)" + std::string(kUsageJson) + "}", "[DONE]"));
}

TEST(ChatStream, WithoutUsageThereIsNone) {
  const auto writer =
      MakeChatReply({.unique = "x", .model = "m", .fingerprint = "fp"}, {.stream = true});
  const auto chunks = Chunks(*writer, {TextEvent{.text = "a"}, ChoiceEnd{}, TaskEnd{kUsage}});
  ASSERT_THAT(chunks, SizeIs(4));
  for (const std::string& chunk : chunks) EXPECT_EQ(chunk.find("usage"), std::string::npos);
  EXPECT_THAT(chunks[1], HasSubstr(R"("system_fingerprint":"fp")"));
  EXPECT_THAT(chunks[2], HasSubstr(R"("finish_reason":"stop")"));
}

TEST(ChatStream, EachChoiceHasItsIndexAndRole) {
  const auto writer = MakeChatReply(kIdentity, {.stream = true, .n_choices = 3});
  const auto chunks =
      Chunks(*writer, {TextEvent{.choice = 2, .text = "a"}, ChoiceEnd{.choice = 1}});
  ASSERT_THAT(chunks, SizeIs(5));
  EXPECT_THAT(ChoiceOf(chunks[1]), HasSubstr(R"("index":1,"delta":{"role":"assistant")"));
  EXPECT_THAT(ChoiceOf(chunks[3]), HasSubstr(R"("index":2,"delta":{"content":"a"})"));
  EXPECT_THAT(ChoiceOf(chunks[4]), HasSubstr(R"("index":1,"delta":{},)"));
}

TEST(ChatStream, ToolCallsBeginWithNameAndTypeAndGoOnWithArguments) {
  const auto writer = MakeChatReply(kIdentity, {.stream = true});
  const auto chunks =
      Chunks(*writer, {ToolCallBegin{.index = 0, .id = "c0", .name = "get"},
                       ToolCallArguments{.index = 0, .text = "{\"a\":"},
                       ToolCallArguments{.index = 0, .text = "1}"}, ToolCallEnd{.index = 0},
                       ToolCallBegin{.index = 1, .id = "c1", .name = "put"},
                       ToolCallEnd{.index = 1}, ChoiceEnd{.finish = Finish::kToolCalls}});
  ASSERT_THAT(chunks, SizeIs(6));
  EXPECT_THAT(ChoiceOf(chunks[1]),
              HasSubstr(R"("delta":{"tool_calls":[{"index":0,"id":"c0","type":"function",)"
                        R"("function":{"name":"get","arguments":""}}]})"));
  EXPECT_THAT(ChoiceOf(chunks[2]), HasSubstr(R"("delta":{"tool_calls":[{"index":0,"function":)"
                                             R"({"arguments":"{\"a\":"}}]})"));
  EXPECT_THAT(ChoiceOf(chunks[4]), HasSubstr(R"("index":1,"id":"c1")"));
  EXPECT_THAT(ChoiceOf(chunks[5]), HasSubstr(R"("finish_reason":"tool_calls")"));
}

constexpr std::string_view kChatLogprobs =
    R"("logprobs":{"content":[{"token":"bytes:\\x48\\xc3","logprob":-0.5,"bytes":[72,195],)"
    R"("top_logprobs":[{"token":"bytes:\\x48\\xc3","logprob":-0.5,"bytes":[72,195]},)"
    R"({"token":"a","logprob":-1,"bytes":[97]}]},{"token":"bytes:\\xa9","logprob":-9999,)"
    R"("bytes":[169],"top_logprobs":[]}],"refusal":null})";

TEST(ChatReplies, LogprobsHaveBytesAndNoInfinities) {
  const auto stream = MakeChatReply(kIdentity, {.stream = true, .logprobs = true});
  const auto chunks = Chunks(*stream, {TextEvent{.text = "Hé", .tokens = Tokens()}});
  EXPECT_THAT(chunks.at(1), HasSubstr(kChatLogprobs));
  const auto whole = MakeChatReply(kIdentity, {.logprobs = true});
  EXPECT_EQ(whole->Write(TextEvent{.text = "Hé", .tokens = Tokens()}), "");
  EXPECT_THAT(whole->Write(TaskEnd{}), HasSubstr(kChatLogprobs));
}

TEST(ChatStream, ProgressAndTimingsWhenAskedFor) {
  const auto writer = MakeChatReply(kIdentity, {.stream = true, .timings = true});
  const auto chunks = Chunks(
      *writer, {PromptProgress{.n_total = 9, .n_cached = 2, .n_processed = 5, .seconds = 1.5},
                TaskEnd{kUsage}});
  ASSERT_THAT(chunks, SizeIs(4));
  EXPECT_THAT(chunks[1],
              HasSubstr(R"("prompt_progress":{"total":9,"cache":2,"processed":5,"time_ms":1500})"));
  EXPECT_THAT(chunks[2], HasSubstr(R"("choices":[],)" + std::string(kTimingsJson)));
}

TEST(ChatStream, AFailureIsAnErrorObjectAndNoDone) {
  const auto writer = MakeChatReply(kIdentity, {.stream = true});
  const auto chunks =
      Chunks(*writer, {TaskFailed{{.status = 500, .message = "disk", .type = "server_error"}}});
  EXPECT_EQ(chunks.at(1),
            R"({"error":{"message":"disk","type":"server_error","param":null,"code":null}})");
  EXPECT_THAT(chunks, SizeIs(2));
}

TEST(ReplyStreams, AFailureBeforeTheStreamIsABody) {
  const TaskFailed failed{{.message = "full", .type = "rate_limit_error"}};
  const std::string body =
      R"({"error":{"message":"full","type":"rate_limit_error","param":null,"code":null}})";
  EXPECT_EQ(MakeChatReply(kIdentity, {.stream = true})->Write(failed), body);
  EXPECT_EQ(MakeCompletionReply(kIdentity, {.stream = true})->Write(failed), body);
}

TEST(ChatWhole, HasEverythingAtTheEnd) {
  const auto writer = MakeChatReply(kIdentity, {.n_choices = 2});
  EXPECT_EQ(writer->content_type(), "application/json");
  EXPECT_EQ(writer->keep_alive(), " ");
  EXPECT_EQ(writer->Start(), "");
  const std::vector<Event> events = {
      ReasoningEvent{.text = "h"},
      ReasoningEvent{.text = "m"},
      TextEvent{.text = "Hel"},
      TextEvent{.choice = 1, .text = ""},
      TextEvent{.text = "lo"},
      ToolCallBegin{.choice = 1, .index = 0, .id = "c0", .name = "get"},
      ToolCallArguments{.choice = 1, .index = 0, .text = "{\"a\":"},
      ToolCallArguments{.choice = 1, .index = 0, .text = "1}"},
      ToolCallEnd{.choice = 1, .index = 0},
      ChoiceEnd{.finish = Finish::kStopString, .stop_string = "x"},
      ChoiceEnd{.choice = 1, .finish = Finish::kToolCalls}};
  for (const Event& event : events) EXPECT_EQ(writer->Write(event), "");
  EXPECT_EQ(
      writer->Write(TaskEnd{kUsage}),
      R"({"id":"chatcmpl-x1","object":"chat.completion","created":1700000000,"model":"m",)"
      R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null,)"
      R"("reasoning_content":"hm","reasoning":"hm"},"logprobs":null,"finish_reason":"stop"},)"
      R"({"index":1,"message":{"role":"assistant","content":null,"refusal":null,)"
      R"("tool_calls":[{"id":"c0","type":"function","function":{"name":"get",)"
      R"("arguments":"{\"a\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],)" +
          std::string(kUsageJson) + "}");
}

TEST(ChatWhole, AnEmptyAnswerIsAnEmptyString) {
  const auto writer = MakeChatReply(kIdentity, {.timings = true});
  const std::string body = writer->Write(TaskEnd{kUsage});
  EXPECT_THAT(body, HasSubstr(R"("content":"")"));
  EXPECT_THAT(body, HasSubstr(kTimingsJson));
}

constexpr std::string_view kLegacyLogprobs =
    R"("logprobs":{"tokens":["bytes:\\x48\\xc3","bytes:\\xa9"],"token_logprobs":[-0.5,-9999],)"
    R"("top_logprobs":[{"bytes:\\x48\\xc3":-0.5,"a":-1},{}],"text_offset":[0,2]})";

TEST(CompletionReplies, WholeWithLegacyLogprobs) {
  const auto writer = MakeCompletionReply(kIdentity, {.logprobs = true});
  EXPECT_EQ(writer->Write(TextEvent{.text = "Hé", .tokens = Tokens()}), "");
  EXPECT_EQ(writer->Write(ChoiceEnd{.finish = Finish::kLength}), "");
  EXPECT_EQ(writer->Write(TaskEnd{kUsage}),
            R"({"id":"cmpl-x1","object":"text_completion","created":1700000000,"model":"m",)"
            R"("choices":[{"index":0,"text":"Hé",)" +
                std::string(kLegacyLogprobs) + R"(,"finish_reason":"length"}],)" +
                std::string(kUsageJson) + "}");
}

TEST(CompletionReplies, StreamedOffsetsGoOn) {
  const auto writer =
      MakeCompletionReply(kIdentity, {.stream = true, .include_usage = true, .logprobs = true});
  const auto chunks =
      Chunks(*writer, {TextEvent{.text = "Hé", .tokens = Tokens()},
                       TextEvent{.text = "b", .tokens = {{.token = {"b", -1.0F}, .top = {}}}},
                       ReasoningEvent{.text = "c"}, ChoiceEnd{}, TaskEnd{kUsage}});
  ASSERT_THAT(chunks, SizeIs(6));
  EXPECT_THAT(chunks[0], HasSubstr(kLegacyLogprobs));
  EXPECT_THAT(chunks[1], HasSubstr(R"("text_offset":[2]})"));
  EXPECT_THAT(ChoiceOf(chunks[2]),
              R"({"index":0,"text":"c","logprobs":null,"finish_reason":null})");
  EXPECT_THAT(ChoiceOf(chunks[3]),
              R"({"index":0,"text":"","logprobs":null,"finish_reason":"stop"})");
  EXPECT_THAT(chunks[4], HasSubstr(kUsageJson));
  EXPECT_EQ(chunks[5], "[DONE]");
}

TEST(ErrorResponse, TellsClientsWhetherToTryAgain) {
  const http::Response busy = ErrorResponse({.status = 429,
                                             .message = "busy",
                                             .type = "overloaded",
                                             .code = "server_overloaded",
                                             .retry_after_seconds = 2.1});
  EXPECT_EQ(busy.status, 429U);
  EXPECT_EQ(busy.content_type, "application/json");
  EXPECT_THAT(busy.headers, ElementsAre(Pair("Retry-After", "3"), Pair("retry-after-ms", "2100")));
  EXPECT_EQ(busy.body, R"({"error":{"message":"busy","type":"overloaded","param":null,)"
                       R"("code":"server_overloaded"}})");
  const http::Response never =
      ErrorResponse({.status = 503, .message = "\xff", .param = "p", .may_retry = false});
  EXPECT_THAT(never.headers, ElementsAre(Pair("x-should-retry", "false")));
  EXPECT_THAT(never.body, HasSubstr("\"message\":\"\xEF\xBF\xBD\""));
  EXPECT_THAT(never.body, HasSubstr(R"("param":"p")"));
}

TEST(EmbeddingReply, NumbersAndBase64) {
  const std::vector<std::vector<float>> vectors = {{1.0F, -0.5F}, {0.25F}};
  EXPECT_EQ(EmbeddingReply("m", vectors, false, 7),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]},)"
            R"({"object":"embedding","index":1,"embedding":[0.25]}],"model":"m",)"
            R"("usage":{"prompt_tokens":7,"total_tokens":7}})");
  // 00 00 80 3f 00 00 00 bf; 00 00 80 3e
  const std::string body = EmbeddingReply("m", vectors, true, 7);
  EXPECT_THAT(body, HasSubstr(R"("embedding":"AACAPwAAAL8=")"));
  EXPECT_THAT(body, HasSubstr(R"("embedding":"AACAPg==")"));
}

TEST(ModelList, HasWhatClientsRead) {
  const std::vector<ModelEntry> models = {{.id = "a", .created = 5, .owned_by = "plimsoll"}};
  EXPECT_EQ(ModelList(models), R"({"object":"list","data":[{"id":"a","object":"model","created":5,)"
                               R"("owned_by":"plimsoll"}]})");
  EXPECT_EQ(ModelObject(models[0]),
            R"({"id":"a","object":"model","created":5,"owned_by":"plimsoll"})");
}

TEST(TokenizeReply, PiecesThatAreNoUtf8AreBytes) {
  text::VocabularySpec spec;
  spec.tokens = {"a", "b", "\xC3\x83"};
  const auto tokenizer = text::Tokenizer::Create(std::move(spec));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const std::vector<TokenId> tokens = {1, 2, 0};
  EXPECT_EQ(TokenizeReply(tokens, false, **tokenizer), R"({"tokens":[1,2,0]})");
  EXPECT_EQ(TokenizeReply(tokens, true, **tokenizer),
            R"({"tokens":[{"id":1,"piece":"b"},{"id":2,"piece":[195]},{"id":0,"piece":"a"}]})");
  EXPECT_EQ(DetokenizeReply("a\n"), R"({"content":"a\n"})");
  EXPECT_EQ(ApplyTemplateReply("p"), R"({"prompt":"p"})");
}

}  // namespace
}  // namespace plimsoll::server::api::openai
