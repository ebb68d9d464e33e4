#include "server/api/anthropic/replies.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::anthropic {
namespace {

std::string WriteMessage(const ReplyOptions& options, const std::vector<Event>& events) {
  const auto writer = MakeReply({.unique = "1", .model = "m"}, options);
  std::string text = writer->Start();
  for (const Event& event : events) text += writer->Write(event);
  return text;
}

std::string Sse(const std::vector<std::pair<std::string, std::string>>& events) {
  std::string text;
  for (const auto& [name, data] : events) {
    text += "event: ";
    text += name;
    text += "\ndata: ";
    text += data;
    text += "\n\n";
  }
  return text;
}

constexpr ReplyOptions kStreamed{.max_tokens = 10, .stream = true};
constexpr ReplyOptions kWhole{.max_tokens = 10, .stream = false};

std::vector<Event> ThinkTextAndCalls() {
  return {PromptProgress{.n_total = 7, .n_cached = 4, .n_processed = 7},
          ReasoningEvent{.text = "Hm"},
          ReasoningEvent{.text = "m."},
          TextEvent{.text = "I \"ask\"\n"},
          ToolCallBegin{.index = 0, .id = "call_a", .name = "weather"},
          ToolCallArguments{.index = 0, .text = "{\"city\": "},
          ToolCallArguments{.index = 0, .text = "\"Bonn\"}"},
          ToolCallEnd{.index = 0},
          ToolCallBegin{.index = 1, .id = "call_b", .name = "now"},
          ToolCallEnd{.index = 1},
          ChoiceEnd{.finish = Finish::kToolCalls},
          TaskEnd{.usage = {.prompt_tokens = 7, .cached_tokens = 4, .completion_tokens = 9}}};
}

TEST(AnthropicReplies, StreamsEveryKindOfBlock) {
  const std::string start =
      R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",)"
      R"("model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,)"
      R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":0}}})";
  const auto delta = [](int index, const std::string& inner) {
    return R"({"type":"content_block_delta","index":)" + std::to_string(index) + R"(,"delta":)" +
           inner + "}";
  };
  const auto block = [](int index, const std::string& inner) {
    return R"({"type":"content_block_start","index":)" + std::to_string(index) +
           R"(,"content_block":)" + inner + "}";
  };
  const auto stop = [](int index) {
    return R"({"type":"content_block_stop","index":)" + std::to_string(index) + "}";
  };
  EXPECT_EQ(
      WriteMessage(kStreamed, ThinkTextAndCalls()),
      Sse({
          {"message_start", start},
          {"content_block_start", block(0, R"({"type":"thinking","thinking":"","signature":""})")},
          {"content_block_delta", delta(0, R"({"type":"thinking_delta","thinking":"Hm"})")},
          {"content_block_delta", delta(0, R"({"type":"thinking_delta","thinking":"m."})")},
          {"content_block_stop", stop(0)},
          {"content_block_start", block(1, R"({"type":"text","text":""})")},
          {"content_block_delta", delta(1, R"({"type":"text_delta","text":"I \"ask\"\n"})")},
          {"content_block_stop", stop(1)},
          {"content_block_start",
           block(2, R"({"type":"tool_use","id":"call_a","name":"weather","input":{}})")},
          {"content_block_delta",
           delta(2, R"({"type":"input_json_delta","partial_json":"{\"city\":\"Bonn\"}"})")},
          {"content_block_stop", stop(2)},
          {"content_block_start",
           block(3, R"({"type":"tool_use","id":"call_b","name":"now","input":{}})")},
          {"content_block_stop", stop(3)},
          {"message_delta",
           R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},)"
           R"("usage":{"input_tokens":3,"cache_creation_input_tokens":0,)"
           R"("cache_read_input_tokens":4,"output_tokens":9}})"},
          {"message_stop", R"({"type":"message_stop"})"},
      }));
}

TEST(AnthropicReplies, OneBodyHasTheSameBlocks) {
  EXPECT_EQ(WriteMessage(kWhole, ThinkTextAndCalls()),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"m","content":[)"
            R"({"type":"thinking","thinking":"Hmm.","signature":""},)"
            R"({"type":"text","text":"I \"ask\"\n"},)"
            R"({"type":"tool_use","id":"call_a","name":"weather","input":{"city":"Bonn"}},)"
            R"({"type":"tool_use","id":"call_b","name":"now","input":{}}],)"
            R"("stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":9}})");
}

TEST(AnthropicReplies, AMessageWithoutTextHasNoBlocks) {
  const std::vector<Event> events = {TextEvent{}, ChoiceEnd{}, TaskEnd{}};
  const std::string streamed = WriteMessage(kStreamed, events);
  EXPECT_EQ(streamed.find("content_block"), std::string::npos);
  EXPECT_EQ(streamed.rfind("event: message_start\n", 0), 0U);
  EXPECT_NE(streamed.find(R"("stop_reason":"end_turn")"), std::string::npos);
  EXPECT_NE(WriteMessage(kWhole, events).find(R"("content":[])"), std::string::npos);
}

TEST(AnthropicReplies, ArgumentsThatAreNoJsonAreToldAsText) {
  const std::string streamed =
      WriteMessage(kStreamed, {ToolCallBegin{.index = 0, .id = "call_a", .name = "f"},
                               ToolCallArguments{.index = 0, .text = "{\"a\n"},
                               ChoiceEnd{.finish = Finish::kLength}, TaskEnd{}});
  EXPECT_NE(streamed.find(R"("partial_json":"{\"raw_arguments\":\"{\\\"a\\n\"}"})"),
            std::string::npos)
      << streamed;
}

TEST(AnthropicReplies, SaysWhyItStopped) {
  const auto reason = [](ChoiceEnd end, uint32_t n_output) {
    const std::string body =
        WriteMessage(kWhole, {std::move(end), TaskEnd{.usage = {.completion_tokens = n_output}}});
    const size_t from = body.find(R"("stop_reason")");
    return body.substr(from, body.find(R"(,"usage")") - from);
  };
  EXPECT_EQ(reason({.finish = Finish::kStop}, 3),
            R"("stop_reason":"end_turn","stop_sequence":null)");
  EXPECT_EQ(reason({.finish = Finish::kStopString, .stop_string = "\n\n"}, 3),
            R"("stop_reason":"stop_sequence","stop_sequence":"\n\n")");
  EXPECT_EQ(reason({.finish = Finish::kLength}, 10),
            R"("stop_reason":"max_tokens","stop_sequence":null)");
  EXPECT_EQ(reason({.finish = Finish::kLength}, 9),
            R"("stop_reason":"model_context_window_exceeded","stop_sequence":null)");
}

TEST(AnthropicReplies, AFailureIsAnErrorEventAndNothingElse) {
  const TaskFailed failed{{.status = 500, .message = "The disk failed.", .type = "server_error"}};
  const std::string body =
      R"({"type":"error","error":{"type":"api_error","message":"The disk failed."}})";
  EXPECT_EQ(WriteMessage(kStreamed, {failed}), Sse({{"error", body}}));
  EXPECT_EQ(MakeReply({}, kStreamed)->Write(failed), body) << "before the stream has begun";
  EXPECT_EQ(WriteMessage(kWhole, {TextEvent{.text = "a"}, failed}), body);
}

TEST(AnthropicReplies, ErrorsHaveAnthropicsNames) {
  const std::vector<std::pair<unsigned, std::string>> names = {
      {400, "invalid_request_error"}, {401, "authentication_error"},
      {403, "permission_error"},      {404, "not_found_error"},
      {413, "request_too_large"},     {422, "invalid_request_error"},
      {429, "rate_limit_error"},      {500, "api_error"},
      {503, "overloaded_error"},      {504, "timeout_error"},
      {529, "overloaded_error"}};
  for (const auto& [status, name] : names) {
    const http::Response response =
        ErrorResponse({.status = status, .message = "m", .retry_after_seconds = 2.5});
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.body,
              R"({"type":"error","error":{"type":")" + name + R"(","message":"m"}})");
    EXPECT_EQ(response.headers, (std::vector<std::pair<std::string, std::string>>{
                                    {"Retry-After", "3"}, {"retry-after-ms", "2500"}}));
  }
}

TEST(AnthropicReplies, CountsTokens) { EXPECT_EQ(TokenCountBody(12), R"({"input_tokens":12})"); }

}  // namespace
}  // namespace plimsoll::server::api::anthropic
