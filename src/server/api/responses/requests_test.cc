#include "server/api/responses/requests.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::responses {
namespace {

std::string InputBody(const std::string& members) {
  return R"({"model":"m","input":"Hi")" + (members.empty() ? "" : "," + members) + "}";
}

TaskRequest RequestOf(const std::string& body) {
  auto request = ParseResponsesRequest(body);
  EXPECT_TRUE(request) << body << request.error().message;
  return request ? *std::move(request) : TaskRequest{};
}

const Conversation& TalkOf(const TaskRequest& request) {
  return std::get<Conversation>(request.task.input);
}

// The whole reply to a request that is answered with nothing.
std::string EmptyReplyTo(const std::string& body) {
  const auto writer = RequestOf(body).make_reply({.unique = "ab", .created = 1, .model = "m"});
  return writer->Write(ChoiceEnd{}) + writer->Write(TaskEnd{});
}

TEST(ResponsesRequests, ReadsTheLeast) {
  const TaskRequest request = RequestOf(InputBody(""));
  ASSERT_EQ(TalkOf(request).messages.size(), 1U);
  EXPECT_EQ(TalkOf(request).messages[0].role, "user");
  EXPECT_EQ(TalkOf(request).messages[0].content, "Hi");
  EXPECT_EQ(request.task.options.n_predict, 0U);
  EXPECT_FALSE(request.task.stream);
}

TEST(ResponsesRequests, ReadsItems) {
  const TaskRequest request = RequestOf(
      R"({"model":"m","instructions":"Be brief","input":[)"
      R"({"role":"developer","content":"d"},)"
      R"({"type":"message","role":"user","content":[{"type":"input_text","text":"a"},)"
      R"({"type":"input_text","text":"b"}]},)"
      R"({"type":"reasoning","id":"rs_1","summary":[],)"
      R"("content":[{"type":"reasoning_text","text":"Hm"}]},)"
      R"({"type":"message","role":"assistant","id":"msg_1","status":"completed",)"
      R"("content":[{"type":"output_text","text":"I look.","annotations":[]}]},)"
      R"({"type":"function_call","call_id":"c1","name":"weather","arguments":"{\"a\":1}"},)"
      R"({"type":"function_call","call_id":"c2","name":"now","arguments":"{}"},)"
      R"({"type":"function_call_output","call_id":"c1","output":"Rain"},)"
      R"({"type":"function_call_output","call_id":"c2",)"
      R"("output":[{"type":"input_text","text":"noon"}]},)"
      R"({"role":"assistant","content":"So."}]})");
  const std::vector<Message>& messages = TalkOf(request).messages;
  ASSERT_EQ(messages.size(), 7U);
  EXPECT_EQ(messages[0].content, "Be brief");
  EXPECT_EQ(messages[1].role, "system");
  EXPECT_EQ(messages[2].content, "a\nb");
  EXPECT_EQ(messages[3].role, "assistant");
  EXPECT_EQ(messages[3].reasoning, "Hm");
  EXPECT_EQ(messages[3].content, "I look.");
  ASSERT_EQ(messages[3].tool_calls.size(), 2U);
  EXPECT_EQ(messages[3].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[4].name, "weather");
  EXPECT_EQ(messages[4].tool_call_id, "c1");
  EXPECT_EQ(messages[5].content, "noon");
  EXPECT_EQ(messages[6].content, "So.");
  EXPECT_TRUE(request.unknown.empty());
}

TEST(ResponsesRequests, ReadsTools) {
  const std::string tools =
      R"("tools":[{"type":"function","name":"a","description":"d","strict":false,)"
      R"("parameters":{"type":"object"}},{"type":"function","name":"b","parameters":null}])";
  const TaskRequest named =
      RequestOf(InputBody(tools + R"(,"tool_choice":{"type":"function","name":"b"})"));
  ASSERT_EQ(TalkOf(named).tools.size(), 2U);
  EXPECT_EQ(TalkOf(named).tools[0].definition.Get("function").Get("description").string(), "d");
  EXPECT_EQ(TalkOf(named).tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(TalkOf(named).tool_choice.name, "b");
  const TaskRequest allowed = RequestOf(
      InputBody(tools + R"(,"parallel_tool_calls":false,"tool_choice":{"type":"allowed_tools",)"
                        R"("mode":"required","tools":[{"type":"function","name":"a"}]})"));
  ASSERT_EQ(TalkOf(allowed).tools.size(), 1U);
  EXPECT_EQ(TalkOf(allowed).tool_choice.kind, ToolChoice::Kind::kRequired);
  EXPECT_FALSE(TalkOf(allowed).parallel_tool_calls);
}

TEST(ResponsesRequests, ReadsWhatGeneratingTakes) {
  const TaskRequest request = RequestOf(
      InputBody(R"("stream":true,"temperature":0.5,"top_p":0.25,"max_output_tokens":9,"seed":3,)"
                R"("reasoning":{"effort":"low","summary":"auto"},"store":false,)"
                R"("include":["message.output_text.logprobs"],"top_logprobs":2,)"
                R"("text":{"format":{"type":"text"}},"truncation":"disabled")"));
  EXPECT_TRUE(request.task.stream);
  EXPECT_EQ(request.task.options.sampling.temperature, 0.5F);
  EXPECT_EQ(request.task.options.sampling.top_p, 0.25F);
  EXPECT_EQ(request.task.options.n_predict, 9U);
  EXPECT_EQ(request.task.options.sampling.seed, 3U);
  EXPECT_EQ(request.task.n_top_logprobs, 2U);
  EXPECT_EQ(TalkOf(request).template_arguments.size(), 2U);
  EXPECT_TRUE(request.unknown.empty());
}

TEST(ResponsesRequests, TheReplyRepeatsTheSettings) {
  const std::string reply = EmptyReplyTo(InputBody(
      R"("instructions":"i","metadata":{"a":"b"},"max_output_tokens":9,"temperature":0.5,)"
      R"("tools":[{"type":"function","name":"a","parameters":{}}])"));
  for (const char* member :
       {R"("instructions":"i")", R"("metadata":{"a":"b"})", R"("max_output_tokens":9)",
        R"("temperature":0.5)", R"("tools":[{"type":"function","name":"a","parameters":{}}])",
        R"("tool_choice":"auto")", R"("parallel_tool_calls":true)", R"("store":false)",
        R"("text":{"format":{"type":"text"}})", R"("truncation":"disabled")",
        R"("previous_response_id":null)"}) {
    EXPECT_NE(reply.find(member), std::string::npos) << member << "\n" << reply;
  }
}

TEST(ResponsesRequests, NamesThePlaceOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"model":"m"})", "input"},
      {R"({"model":"m","input":1})", "input"},
      {R"({"model":"m","input":[]})", "input"},
      {R"({"model":"m","input":[{"role":"robot","content":"a"}]})", "input[0].role"},
      {R"({"model":"m","input":[{"role":"user","content":[{"type":"input_image"}]}]})",
       "input[0].content[0].type"},
      {R"({"model":"m","input":[{"type":"item_reference","id":"x"}]})", "input[0].type"},
      {R"({"model":"m","input":[{"type":"function_call_output","call_id":"c","output":"a"}]})",
       "input[0].call_id"},
      {InputBody(R"("store":true)"), "store"},
      {InputBody(R"("previous_response_id":"resp_1")"), "previous_response_id"},
      {InputBody(R"("conversation":"c")"), "conversation"},
      {InputBody(R"("background":true)"), "background"},
      {InputBody(R"("truncation":"auto")"), "truncation"},
      {InputBody(R"("text":{"format":{"type":"json_schema"}})"), "text.format.schema"},
      {InputBody(R"("text":{"format":{"type":"xml"}})"), "text.format.type"},
      {InputBody(R"("tools":[{"type":"web_search"}])"), "tools[0].type"},
      {InputBody(R"("tool_choice":"required")"), "tool_choice"},
      {InputBody(R"("tool_choice":{"type":"function","name":"x"})"), "tool_choice.name"},
      {InputBody(R"("max_output_tokens":0)"), "max_output_tokens"},
      {InputBody(R"("temperature":"warm")"), "temperature"},
      {InputBody(R"("include":["file_search_call.results"])"), "include[0]"},
      {InputBody(R"("metadata":"m")"), "metadata"},
      {InputBody(R"("service_tier":"priority")"), "service_tier"},
  };
  for (const auto& [body, param] : cases) {
    const auto request = ParseResponsesRequest(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().status, 400U) << body;
    EXPECT_EQ(request.error().param, param) << body << "\n" << request.error().message;
  }
}

TEST(ResponsesRequests, AcceptsWhatItDoesNotKnow) {
  EXPECT_EQ(RequestOf(InputBody(R"("tomorrow":1)")).unknown,
            (std::vector<std::string>{"tomorrow"}));
}

}  // namespace
}  // namespace plimsoll::server::api::responses
