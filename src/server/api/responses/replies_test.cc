#include "server/api/responses/replies.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::responses {
namespace {

ReplyOptions ReplyOf(bool stream, bool logprobs = false) {
  return {.stream = stream,
          .logprobs = logprobs,
          .settings = {{"instructions", "null"}, {"temperature", "0.5"}, {"store", "false"}},
          .now = [] { return std::chrono::system_clock::time_point(std::chrono::seconds(100)); }};
}

std::string WriteWholeResponse(const ReplyOptions& options, const std::vector<Event>& events) {
  const auto writer = MakeReply({.unique = "ab", .created = 100, .model = "m"}, options);
  std::string text = writer->Start();
  for (const Event& event : events) text += writer->Write(event);
  return text;
}

// The data of each event, without `"sequence_number":n,`, after a check that its name and number
// are right.
std::vector<std::string> EventsOf(std::string text) {
  std::vector<std::string> events;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    const std::string event = text.substr(0, end);
    text.erase(0, end + 2);
    const size_t newline = event.find('\n');
    EXPECT_EQ(event.rfind("event: ", 0), 0U) << event;
    const std::string name = event.substr(7, newline - 7);
    std::string data = event.substr(newline + 1);
    const std::string head = R"(data: {"type":")" + name + R"(","sequence_number":)" +
                             std::to_string(events.size()) + ",";
    EXPECT_EQ(data.rfind(head, 0), 0U) << event;
    data.erase(0, head.size());
    std::string described = name;
    described += " {";
    described += data;
    events.push_back(described);
  }
  return events;
}

std::string Place(const std::string& item, int index) {
  return R"({"item_id":")" + item + R"(","output_index":)" + std::to_string(index) +
         R"(,"content_index":0,)";
}

constexpr const char* kSettings = R"("instructions":null,"temperature":0.5,"store":false,)";
const std::string kInProgress =
    std::string(
        R"({"response":{"id":"resp_ab","object":"response","created_at":100,"status":"in_progress",)"
        R"("completed_at":null,"error":null,"incomplete_details":null,"model":"m","output":[],)") +
    kSettings + R"("usage":null}})";
const std::string kUsageText =
    R"("usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":4},"output_tokens":9,)"
    R"("output_tokens_details":{"reasoning_tokens":2},"total_tokens":16}})";

const std::string kReasoningItem =
    R"({"id":"rs_ab00","type":"reasoning","status":"completed","summary":[],)"
    R"("content":[{"type":"reasoning_text","text":"Hmm."}]})";
const std::string kMessageItem =
    R"({"id":"msg_ab01","type":"message","status":"completed","role":"assistant",)"
    R"("content":[{"type":"output_text","text":"Ja!","annotations":[],"logprobs":[]}]})";
const std::string kCallItem =
    R"({"id":"fc_ab02","type":"function_call","status":"completed","call_id":"call_a",)"
    R"("name":"weather","arguments":"{\"city\":1}"})";

std::vector<Event> EveryKindOfItem() {
  return {ReasoningEvent{.text = "Hm"},
          ReasoningEvent{.text = "m."},
          TextEvent{.text = "Ja!"},
          ToolCallBegin{.index = 0, .id = "call_a", .name = "weather"},
          ToolCallArguments{.index = 0, .text = "{\"city\":"},
          ToolCallArguments{.index = 0, .text = "1}"},
          ToolCallEnd{.index = 0},
          ChoiceEnd{.finish = Finish::kToolCalls},
          TaskEnd{.usage = {.prompt_tokens = 7,
                            .cached_tokens = 4,
                            .completion_tokens = 9,
                            .reasoning_tokens = 2}}};
}

std::string Completed() {
  return std::string(
             R"({"id":"resp_ab","object":"response","created_at":100,"status":"completed",)"
             R"("completed_at":100,"error":null,"incomplete_details":null,"model":"m","output":[)") +
         kReasoningItem + "," + kMessageItem + "," + kCallItem + "]," + kSettings + kUsageText;
}

TEST(ResponsesReplies, StreamsEveryKindOfItem) {
  const std::vector<std::string> expected = {
      "response.created " + kInProgress,
      "response.in_progress " + kInProgress,
      R"(response.output_item.added {"output_index":0,"item":{"id":"rs_ab00","type":"reasoning",)"
      R"("status":"in_progress","summary":[],"content":[]}})",
      "response.content_part.added " + Place("rs_ab00", 0) +
          R"("part":{"type":"reasoning_text","text":""}})",
      "response.reasoning_text.delta " + Place("rs_ab00", 0) + R"("delta":"Hm"})",
      "response.reasoning_text.delta " + Place("rs_ab00", 0) + R"("delta":"m."})",
      "response.reasoning_text.done " + Place("rs_ab00", 0) + R"("text":"Hmm."})",
      "response.content_part.done " + Place("rs_ab00", 0) +
          R"("part":{"type":"reasoning_text","text":"Hmm."}})",
      R"(response.output_item.done {"output_index":0,"item":)" + kReasoningItem + "}",
      R"(response.output_item.added {"output_index":1,"item":{"id":"msg_ab01","type":"message",)"
      R"("status":"in_progress","role":"assistant","content":[]}})",
      "response.content_part.added " + Place("msg_ab01", 1) +
          R"("part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}})",
      "response.output_text.delta " + Place("msg_ab01", 1) + R"("delta":"Ja!","logprobs":[]})",
      "response.output_text.done " + Place("msg_ab01", 1) + R"("text":"Ja!","logprobs":[]})",
      "response.content_part.done " + Place("msg_ab01", 1) +
          R"("part":{"type":"output_text","text":"Ja!","annotations":[],"logprobs":[]}})",
      R"(response.output_item.done {"output_index":1,"item":)" + kMessageItem + "}",
      R"(response.output_item.added {"output_index":2,"item":{"id":"fc_ab02",)"
      R"("type":"function_call","status":"in_progress","call_id":"call_a","name":"weather",)"
      R"("arguments":""}})",
      R"(response.function_call_arguments.delta {"item_id":"fc_ab02","output_index":2,)"
      R"("delta":"{\"city\":"})",
      R"(response.function_call_arguments.delta {"item_id":"fc_ab02","output_index":2,)"
      R"("delta":"1}"})",
      R"(response.function_call_arguments.done {"item_id":"fc_ab02","output_index":2,)"
      R"("name":"weather","arguments":"{\"city\":1}"})",
      R"(response.output_item.done {"output_index":2,"item":)" + kCallItem + "}",
      R"(response.completed {"response":)" + Completed() + "}",
  };
  EXPECT_EQ(EventsOf(WriteWholeResponse(ReplyOf(true), EveryKindOfItem())), expected);
}

TEST(ResponsesReplies, OneBodyIsTheSameResponse) {
  EXPECT_EQ(WriteWholeResponse(ReplyOf(false), EveryKindOfItem()), Completed());
}

TEST(ResponsesReplies, LengthIsIncomplete) {
  const std::vector<Event> events = {TextEvent{.text = "Ja"}, ChoiceEnd{.finish = Finish::kLength},
                                     TaskEnd{}};
  const std::vector<std::string> streamed = EventsOf(WriteWholeResponse(ReplyOf(true), events));
  const std::string& last = streamed.back();
  EXPECT_EQ(last.rfind("response.incomplete {", 0), 0U) << last;
  const std::string body = WriteWholeResponse(ReplyOf(false), events);
  for (const std::string& text : {last, body}) {
    EXPECT_NE(text.find(R"("status":"incomplete","completed_at":100)"), std::string::npos) << text;
    EXPECT_NE(text.find(R"("incomplete_details":{"reason":"max_output_tokens"})"),
              std::string::npos);
    EXPECT_NE(text.find(R"("type":"message","status":"incomplete")"), std::string::npos);
  }
}

TEST(ResponsesReplies, AFailureEndsTheStream) {
  const TaskFailed failed{{.status = 500, .message = "The disk failed.", .type = "server_error"}};
  const std::vector<std::string> events =
      EventsOf(WriteWholeResponse(ReplyOf(true), {TextEvent{.text = "a"}, failed}));
  EXPECT_EQ(events.back().rfind("response.failed {", 0), 0U);
  EXPECT_NE(events.back().find(R"("error":{"code":"server_error","message":"The disk failed."})"),
            std::string::npos);
  EXPECT_EQ(events[events.size() - 2].rfind("response.output_item.done", 0), 0U);
  const std::string body =
      R"({"error":{"message":"The disk failed.","type":"server_error","param":null,)"
      R"("code":null}})";
  EXPECT_EQ(WriteWholeResponse(ReplyOf(false), {failed}), body);
  EXPECT_EQ(MakeReply({}, ReplyOf(true))->Write(failed), body) << "before the stream has begun";
}

TEST(ResponsesReplies, TellsTokensWhenAsked) {
  const TokenReport token{.token = {.text = "a", .logprob = -0.5F},
                          .top = {{.text = "b", .logprob = -1.5F}}};
  const std::vector<Event> events = {TextEvent{.text = "a", .tokens = {token}}, ChoiceEnd{},
                                     TaskEnd{}};
  const std::string logprobs = R"("logprobs":[{"token":"a","bytes":[97],"logprob":-0.5,)"
                               R"("top_logprobs":[{"token":"b","bytes":[98],"logprob":-1.5}]}])";
  EXPECT_NE(WriteWholeResponse(ReplyOf(false, true), events).find(logprobs), std::string::npos);
  EXPECT_EQ(WriteWholeResponse(ReplyOf(false), events).find("-0.5"), std::string::npos);
  const std::vector<std::string> streamed =
      EventsOf(WriteWholeResponse(ReplyOf(true, true), events));
  EXPECT_NE(streamed[4].find(R"("delta":"a",)" + logprobs), std::string::npos) << streamed[4];
}

}  // namespace
}  // namespace plimsoll::server::api::responses
