#include "server/api/ollama/requests.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace plimsoll::server::api::ollama {
namespace {

std::string ChatBody(const std::string& members) {
  return R"({"model":"m","messages":[{"role":"user","content":"Hi"}])" +
         (members.empty() ? "" : "," + members) + "}";
}

TextRequest ChatOf(const std::string& body) {
  auto request = ParseChatRequest(body);
  EXPECT_TRUE(request) << body << request.error().message;
  return request ? *std::move(request) : TextRequest{};
}

TextRequest GenerateOf(const std::string& body) {
  auto request = ParseGenerateRequest(body);
  EXPECT_TRUE(request) << body << request.error().message;
  return request ? *std::move(request) : TextRequest{};
}

TEST(OllamaRequests, StreamsUnlessToldOtherwise) {
  EXPECT_TRUE(ChatOf(ChatBody("")).request.task.stream);
  EXPECT_FALSE(ChatOf(ChatBody(R"("stream":false)")).reply.stream);
  EXPECT_TRUE(GenerateOf(R"({"model":"m","prompt":"a"})").reply.stream);
}

TEST(OllamaRequests, ReadsOptions) {
  const TextRequest text =
      ChatOf(ChatBody(R"("options":{"temperature":0,"top_k":3,"top_p":0.5,"min_p":0.25,"seed":7,)"
                      R"("num_predict":9,"stop":["a"],"num_ctx":512,"repeat_penalty":1.5,)"
                      R"("repeat_last_n":-1,"presence_penalty":0.5,"frequency_penalty":-0.5,)"
                      R"("num_thread":4,"mirostat":0})"));
  const engine::GenerateOptions& options = text.request.task.options;
  EXPECT_EQ(options.sampling.temperature, 0.0F);
  EXPECT_EQ(options.sampling.top_k, 3);
  EXPECT_EQ(options.sampling.top_p, 0.5F);
  EXPECT_EQ(options.sampling.min_p, 0.25F);
  EXPECT_EQ(options.sampling.seed, 7U);
  EXPECT_TRUE(text.request.task.seed_given);
  EXPECT_EQ(options.n_predict, 9U);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"a"}));
  EXPECT_EQ(options.sampling.repeat_penalty, 1.5F);
  EXPECT_EQ(options.sampling.repeat_last_n, -1);
  EXPECT_EQ(options.sampling.presence_penalty, 0.5F);
  EXPECT_EQ(options.sampling.frequency_penalty, -0.5F);
  EXPECT_EQ(text.n_ctx, 512U);
  EXPECT_TRUE(text.request.unknown.empty());
  EXPECT_EQ(ChatOf(ChatBody(R"("options":{"num_predict":-1})")).request.task.options.n_predict, 0U);
}

TEST(OllamaRequests, AContextLargerThanTheModelsIsRefused) {
  EXPECT_TRUE(CheckContext(std::nullopt, 128));
  EXPECT_TRUE(CheckContext(128, 128));
  const auto checked = CheckContext(129, 128);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().status, 400U);
  EXPECT_EQ(checked.error().param, "options.num_ctx");
}

TEST(OllamaRequests, ReadsARoundOfToolUse) {
  const TextRequest text =
      ChatOf(R"({"model":"m","think":"low","messages":[{"role":"user","content":"Weather?"},)"
             R"({"role":"assistant","content":"","thinking":"Hm","tool_calls":[)"
             R"({"function":{"name":"weather","arguments":{"city":"Bonn"}}}]},)"
             R"({"role":"tool","content":"Rain","tool_name":"weather"}],)"
             R"("tools":[{"type":"function","function":{"name":"weather","description":"d",)"
             R"("parameters":{"type":"object","properties":{}}}}]})");
  const auto& talk = std::get<Conversation>(text.request.task.input);
  ASSERT_EQ(talk.messages.size(), 3U);
  EXPECT_EQ(talk.messages[1].reasoning, "Hm");
  ASSERT_EQ(talk.messages[1].tool_calls.size(), 1U);
  EXPECT_EQ(talk.messages[1].tool_calls[0].name, "weather");
  EXPECT_EQ(talk.messages[1].tool_calls[0].arguments, R"({"city":"Bonn"})");
  EXPECT_EQ(talk.messages[2].role, "tool");
  EXPECT_EQ(talk.messages[2].name, "weather");
  ASSERT_EQ(talk.tools.size(), 1U);
  EXPECT_EQ(talk.tools[0].definition.Get("function").Get("name").string(), "weather");
  ASSERT_EQ(talk.template_arguments.size(), 2U);
  EXPECT_TRUE(talk.template_arguments[0].second.boolean());
  EXPECT_EQ(talk.template_arguments[1].second.string(), "low");
}

TEST(OllamaRequests, GenerateTalksUnlessItIsRaw) {
  const TextRequest talk = GenerateOf(R"({"model":"m","prompt":"a","system":"s","think":false})");
  const auto& conversation = std::get<Conversation>(talk.request.task.input);
  ASSERT_EQ(conversation.messages.size(), 2U);
  EXPECT_EQ(conversation.messages[0].role, "system");
  EXPECT_EQ(conversation.messages[1].content, "a");
  EXPECT_FALSE(conversation.template_arguments[0].second.boolean());
  const TextRequest raw = GenerateOf(R"({"model":"m","prompt":"a","raw":true,"suffix":""})");
  const auto& prompts = std::get<std::vector<PlainPrompt>>(raw.request.task.input);
  ASSERT_EQ(prompts.size(), 1U);
  EXPECT_EQ(std::get<std::string>(prompts[0].text), "a");
}

TEST(OllamaRequests, WithoutAPromptAModelIsLoadedOrUnloaded) {
  const TextRequest load = GenerateOf(R"({"model":"m"})");
  EXPECT_TRUE(load.only_load && !load.only_unload);
  EXPECT_TRUE(GenerateOf(R"({"model":"m","keep_alive":0})").only_unload);
  EXPECT_TRUE(GenerateOf(R"({"model":"m","keep_alive":"0s"})").only_unload);
  EXPECT_FALSE(GenerateOf(R"({"model":"m","keep_alive":"1h30m"})").only_unload);
  EXPECT_TRUE(ChatOf(R"({"model":"m","messages":[]})").only_load);
  EXPECT_FALSE(ChatOf(ChatBody(R"("keep_alive":0)")).only_load);
}

TEST(OllamaRequests, NamesThePlaceOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> chats = {
      {R"({"messages":[]})", "model"},
      {ChatBody(R"("stream":1)"), "stream"},
      {ChatBody(R"("format":"xml")"), "format"},
      {ChatBody(R"("format":1)"), "format"},
      {ChatBody(R"("keep_alive":"soon")"), "keep_alive"},
      {ChatBody(R"("think":"much")"), "think"},
      {ChatBody(R"("think":1)"), "think"},
      {ChatBody(R"("options":{"temperature":"hot"})"), "options.temperature"},
      {ChatBody(R"("options":{"num_predict":1.5})"), "options.num_predict"},
      {ChatBody(R"("options":{"mirostat":2})"), "options.mirostat"},
      {ChatBody(R"("top_logprobs":2)"), "top_logprobs"},
      {R"({"model":"m","messages":[{"role":"user","content":"a","images":["aGk="]}]})",
       "messages[0].images"},
      {R"({"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]})",
       "messages[0].tool_calls[0].function.name"},
      {ChatBody(R"("tools":[{"type":"web","function":{"name":"a"}}])"), "tools[0].type"},
  };
  for (const auto& [body, param] : chats) {
    const auto request = ParseChatRequest(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().param, param) << body << "\n" << request.error().message;
  }
  const std::vector<std::pair<std::string, std::string>> generates = {
      {R"({"model":"m","prompt":1})", "prompt"},
      {R"({"model":"m","prompt":"a","suffix":"b"})", "suffix"},
      {R"({"model":"m","prompt":"a","images":["aGk="]})", "images"},
      {R"({"model":"m","prompt":"a","template":"b"})", "template"},
      {R"({"model":"m","prompt":"a","context":[1]})", "context"},
      {R"({"model":"m","prompt":"a","raw":true,"system":"s"})", "system"},
  };
  for (const auto& [body, param] : generates) {
    const auto request = ParseGenerateRequest(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().param, param) << body << "\n" << request.error().message;
  }
}

TEST(OllamaRequests, ReadsEmbedAndShow) {
  const auto one = ParseEmbedRequest(R"({"model":"m","input":"a"})");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->inputs, (std::vector<std::string>{"a"}));
  EXPECT_FALSE(one->truncate);
  const auto two = ParseEmbedRequest(R"({"model":"m","input":["a","b"],"truncate":true})");
  ASSERT_TRUE(two);
  EXPECT_EQ(two->inputs.size(), 2U);
  EXPECT_TRUE(two->truncate);
  EXPECT_EQ(ParseEmbedRequest(R"({"model":"m","input":"a","dimensions":8})").error().param,
            "dimensions");
  EXPECT_EQ(ParseEmbedRequest(R"({"model":"m","input":[1]})").error().param, "input[0]");
  EXPECT_EQ(ParseShowRequest(R"({"model":"m"})").value_or(""), "m");
  EXPECT_EQ(ParseShowRequest(R"({"name":"n"})").value_or(""), "n");
  EXPECT_EQ(ParseShowRequest("{}").error().param, "model");
}

}  // namespace
}  // namespace plimsoll::server::api::ollama
