#include "server/api/anthropic/requests.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::anthropic {
namespace {

std::string MessagesBody(const std::string& members) {
  return R"({"model":"m","max_tokens":16,"messages":[{"role":"user","content":"Hi"}])" +
         (members.empty() ? "" : "," + members) + "}";
}

Task TaskOf(const std::string& body) {
  auto request = ParseMessagesRequest(body);
  EXPECT_TRUE(request) << body << request.error().message;
  return request ? request->task : Task{};
}

ApiError ErrorOf(const std::string& body) {
  auto request = ParseMessagesRequest(body);
  EXPECT_FALSE(request) << body;
  return request ? ApiError{.message = "none"} : request.error();
}

const Conversation& Talk(const Task& task) { return std::get<Conversation>(task.input); }

TEST(AnthropicRequests, ReadsTheLeast) {
  const Task task = TaskOf(MessagesBody(""));
  EXPECT_EQ(task.model, "m");
  EXPECT_EQ(task.options.n_predict, 16U);
  EXPECT_FALSE(task.stream);
  EXPECT_FALSE(task.seed_given);
  ASSERT_EQ(Talk(task).messages.size(), 1U);
  EXPECT_EQ(Talk(task).messages[0].role, "user");
  EXPECT_EQ(Talk(task).messages[0].content, "Hi");
}

TEST(AnthropicRequests, ReadsWhatGeneratingTakes) {
  const Task task = TaskOf(MessagesBody(
      R"("stream":true,"temperature":0.25,"top_p":0.5,"top_k":3,"stop_sequences":["a","b"],)"
      R"("system":[{"type":"text","text":"Be"},{"type":"text","text":"brief",)"
      R"("cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"u"})"));
  EXPECT_TRUE(task.stream);
  EXPECT_TRUE(task.report_progress);
  EXPECT_EQ(task.options.sampling.temperature, 0.25F);
  EXPECT_EQ(task.options.sampling.top_p, 0.5F);
  EXPECT_EQ(task.options.sampling.top_k, 3);
  EXPECT_EQ(task.options.stop, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(Talk(task).messages.size(), 2U);
  EXPECT_EQ(Talk(task).messages[0].role, "system");
  EXPECT_EQ(Talk(task).messages[0].content, "Be\nbrief");
}

TEST(AnthropicRequests, ReadsARoundOfToolUse) {
  const Task task = TaskOf(
      R"({"model":"m","max_tokens":16,"messages":[{"role":"user","content":"Weather?"},)"
      R"({"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"s"},)"
      R"({"type":"text","text":"I look."},)"
      R"({"type":"tool_use","id":"t1","name":"weather","input":{"city":"Bonn"}},)"
      R"({"type":"tool_use","id":"t2","name":"now","input":{}}]},)"
      R"({"role":"user","content":[)"
      R"({"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"Rain"}]},)"
      R"({"type":"tool_result","tool_use_id":"t2","content":"no clock","is_error":true},)"
      R"({"type":"text","text":"Well?"}]}],)"
      R"("tools":[{"name":"weather","description":"d","input_schema":{"type":"object"}},)"
      R"({"type":"custom","name":"now","input_schema":{"type":"object"}}],)"
      R"("tool_choice":{"type":"tool","name":"now","disable_parallel_tool_use":true}})");
  const Conversation& talk = Talk(task);
  ASSERT_EQ(talk.messages.size(), 5U);
  EXPECT_EQ(talk.messages[1].content, "I look.");
  EXPECT_EQ(talk.messages[1].reasoning, "Hm");
  ASSERT_EQ(talk.messages[1].tool_calls.size(), 2U);
  EXPECT_EQ(talk.messages[1].tool_calls[0].arguments, R"({"city":"Bonn"})");
  EXPECT_EQ(talk.messages[2].role, "tool");
  EXPECT_EQ(talk.messages[2].content, "Rain");
  EXPECT_EQ(talk.messages[2].tool_call_id, "t1");
  EXPECT_EQ(talk.messages[2].name, "weather");
  EXPECT_EQ(talk.messages[3].content, "Error: no clock");
  EXPECT_EQ(talk.messages[4].role, "user");
  EXPECT_EQ(talk.messages[4].content, "Well?");
  ASSERT_EQ(talk.tools.size(), 2U);
  EXPECT_EQ(talk.tools[0].definition.Get("type").string(), "function");
  EXPECT_EQ(talk.tools[0].definition.Get("function").Get("description").string(), "d");
  EXPECT_EQ(talk.tools[0].definition.Get("function").Get("parameters").Get("type").string(),
            "object");
  EXPECT_EQ(talk.tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(talk.tool_choice.name, "now");
  EXPECT_FALSE(talk.parallel_tool_calls);
}

TEST(AnthropicRequests, ThinkingIsTheTemplates) {
  const auto enabled = [](const std::string& members) {
    const Task task = TaskOf(MessagesBody(members));
    const auto& arguments = Talk(task).template_arguments;
    return arguments.empty() ? -1 : arguments[0].second.boolean() ? 1 : 0;
  };
  EXPECT_EQ(enabled(""), -1);
  EXPECT_EQ(enabled(R"("thinking":{"type":"enabled","budget_tokens":1024})"), 1);
  EXPECT_EQ(enabled(R"("thinking":{"type":"adaptive"})"), 1);
  EXPECT_EQ(enabled(R"("thinking":{"type":"disabled"})"), 0);
  EXPECT_EQ(enabled(R"("output_config":{"effort":"low"})"), 1);
}

TEST(AnthropicRequests, NamesThePlaceOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"max_tokens":1,"messages":[{"role":"user","content":"a"}]})", "model"},
      {R"({"model":"m","messages":[{"role":"user","content":"a"}]})", "max_tokens"},
      {R"({"model":"m","max_tokens":0,"messages":[{"role":"user","content":"a"}]})", "max_tokens"},
      {R"({"model":"m","max_tokens":1})", "messages"},
      {R"({"model":"m","max_tokens":1,"messages":[]})", "messages"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"tool","content":"a"}]})",
       "messages[0].role"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})",
       "messages[0].content[0].type"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":[)"
       R"({"type":"tool_result","tool_use_id":"x","content":"a"}]}]})",
       "messages[0].content[0].tool_use_id"},
      {R"({"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"},)"
       R"({"role":"assistant","content":"b"}]})",
       "messages"},
      {MessagesBody(R"("temperature":3)"), "temperature"},
      {MessagesBody(R"("temperature":"1")"), "temperature"},
      {MessagesBody(R"("system":1)"), "system"},
      {MessagesBody(R"("stop_sequences":[""])"), "stop_sequences[0]"},
      {MessagesBody(R"("tools":[{"name":"a"}])"), "tools[0].input_schema"},
      {MessagesBody(R"("tools":[{"name":"a b","input_schema":{}}])"), "tools[0].name"},
      {MessagesBody(R"("tools":[{"type":"bash_20250124","name":"bash"}])"), "tools[0].type"},
      {MessagesBody(R"("tool_choice":{"type":"any"})"), "tool_choice"},
      {MessagesBody(R"("tool_choice":{"type":"tool","name":"x"})"), "tool_choice.name"},
      {MessagesBody(R"("thinking":{"type":"enabled"})"), "thinking.budget_tokens"},
      {MessagesBody(R"("output_config":{"format":{"type":"json_schema"}})"),
       "output_config.format.schema"},
      {MessagesBody(R"("mcp_servers":[{"url":"x"}])"), "mcp_servers"},
  };
  for (const auto& [body, param] : cases) {
    const ApiError error = ErrorOf(body);
    EXPECT_EQ(error.status, 400U) << body;
    EXPECT_EQ(error.param, param) << body << "\n" << error.message;
  }
}

TEST(AnthropicRequests, AcceptsWhatItDoesNotKnow) {
  const auto request = ParseMessagesRequest(MessagesBody(R"("tomorrow":{"a":1})"));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->unknown, (std::vector<std::string>{"tomorrow"}));
}

TEST(AnthropicRequests, CountsWithoutALimit) {
  const auto request = ParseCountTokensRequest(
      R"({"model":"m","system":"s","messages":[{"role":"user","content":"a"}]})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->conversation.messages.size(), 2U);
}

}  // namespace
}  // namespace plimsoll::server::api::anthropic
