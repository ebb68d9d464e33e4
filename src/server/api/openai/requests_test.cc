#include "server/api/openai/requests.h"

#include <cmath>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::server::api::openai {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

constexpr std::string_view kHello = R"("messages":[{"role":"user","content":"Hello"}])";

// A chat request with one message and these further members.
ApiResult<TaskRequest> Chat(std::string_view members) {
  return ParseChatRequest(fmt::format("{{{}{}{}}}", kHello, members.empty() ? "" : ",", members));
}

// "" for one that is accepted, else "param: code".
std::string Refusal(const ApiResult<TaskRequest>& request) {
  if (request) return "";
  EXPECT_EQ(request.error().status, 400U);
  EXPECT_FALSE(request.error().message.empty());
  return fmt::format("{}: {}", request.error().param, request.error().code);
}

const Conversation& ConversationOf(const ApiResult<TaskRequest>& request) {
  return std::get<Conversation>(request.value().task.input);
}

TEST(ChatRequest, TheLeastGivesTheDefaults) {
  const auto request = Chat("");
  ASSERT_TRUE(request) << request.error().message;
  const Task& task = request->task;
  EXPECT_EQ(task.model, "");
  EXPECT_EQ(task.n, 1U);
  EXPECT_EQ(task.options.n_predict, 0U);
  EXPECT_FALSE(task.seed_given);
  EXPECT_FALSE(task.stream);
  EXPECT_FALSE(task.n_top_logprobs);
  EXPECT_EQ(task.options.sampling.temperature, sampling::SamplerParams{}.temperature);
  const Conversation& conversation = ConversationOf(request);
  ASSERT_THAT(conversation.messages, SizeIs(1));
  EXPECT_EQ(conversation.messages[0].role, "user");
  EXPECT_EQ(conversation.messages[0].content, "Hello");
  EXPECT_TRUE(conversation.parallel_tool_calls);
  EXPECT_THAT(request->unknown, IsEmpty());
}

TEST(ChatRequest, SaysWhichKeysAndValuesStay) {
  EXPECT_FALSE(Chat("")->task.kv_policy);
  const auto policy = [](std::string_view members) {
    const auto request = Chat(members);
    return request && request->unknown.empty() ? request->task.kv_policy->Text() : Refusal(request);
  };
  EXPECT_EQ(policy(R"("kv_policy":"full")"), "full");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":"25%")"), "window 25%");
  EXPECT_EQ(policy(R"("kv_policy":"arkv","kv_budget":"25%")"), "arkv 25%");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":1048576,"kv_reference":64)"),
            "window 1.00 MiB reference 64");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":"2G","kv_reference":"prompt",)"
                   R"("kv_positions":"compact")"),
            "window 2.00 GiB reference prompt compact");
  EXPECT_EQ(policy(R"("kv_policy":"widow","kv_budget":"25%")"), "kv_policy: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":1)"), "kv_policy: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":["window"])"), "kv_policy: invalid_type");
  EXPECT_EQ(policy(R"("kv_policy":"window")"), "kv_budget: missing_required_parameter");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":"much")"), "kv_budget: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":"full","kv_budget":"25%")"), "kv_budget: invalid_value");
  EXPECT_EQ(policy(R"("kv_budget":"25%")"), "kv_budget: invalid_value");
  EXPECT_EQ(policy(R"("kv_reference":64)"), "kv_reference: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":"25%","kv_reference":0)"),
            "kv_reference: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":"full","kv_reference":64)"), "kv_reference: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":"full","kv_positions":"compact")"),
            "kv_positions: invalid_value");
  EXPECT_EQ(policy(R"("kv_policy":"window","kv_budget":"25%","kv_positions":"moved")"),
            "kv_positions: invalid_value");
}

TEST(ChatRequest, EveryFieldFindsItsPlace) {
  const auto request = Chat(R"(
    "model":"m","stream":true,"n":3,"stop":["a","bc"],"seed":-7,"temperature":0,"top_p":0.5,
    "top_k":7,"min_p":0.1,"presence_penalty":-1.5,"frequency_penalty":2,"repeat_penalty":1.25,
    "repeat_last_n":9,"logit_bias":{"5":1.5,"7":-100},"logprobs":true,"top_logprobs":20,
    "max_tokens":5,"max_completion_tokens":8,"n_predict":3,"ignore_eos":true,"priority":-3,
    "return_progress":true,"stream_options":{"include_usage":true,"include_obfuscation":false},
    "reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false,"x":[1]},
    "user":"u","metadata":{"a":"b"},"store":false,"service_tier":"auto","cache_prompt":false,
    "response_format":{"type":"text"},"parallel_tool_calls":false,"modalities":["text"])");
  ASSERT_TRUE(request) << request.error().message;
  const Task& task = request->task;
  EXPECT_EQ(task.model, "m");
  EXPECT_TRUE(task.stream);
  EXPECT_EQ(task.n, 3U);
  EXPECT_EQ(task.priority, -3);
  EXPECT_THAT(task.options.stop, ElementsAre("a", "bc"));
  EXPECT_TRUE(task.seed_given);
  EXPECT_EQ(task.options.sampling.seed, static_cast<uint64_t>(-7));
  EXPECT_EQ(task.options.sampling.temperature, 0.0F);
  EXPECT_EQ(task.options.sampling.top_p, 0.5F);
  EXPECT_EQ(task.options.sampling.top_k, 7);
  EXPECT_EQ(task.options.sampling.min_p, 0.1F);
  EXPECT_EQ(task.options.sampling.presence_penalty, -1.5F);
  EXPECT_EQ(task.options.sampling.frequency_penalty, 2.0F);
  EXPECT_EQ(task.options.sampling.repeat_penalty, 1.25F);
  EXPECT_EQ(task.options.sampling.repeat_last_n, 9);
  EXPECT_THAT(task.options.sampling.logit_bias, ElementsAre(Pair(5, 1.5F), Pair(7, -INFINITY)));
  EXPECT_EQ(task.n_top_logprobs, 20U);
  EXPECT_EQ(task.options.n_predict, 8U);
  EXPECT_TRUE(task.options.ignore_end);
  EXPECT_TRUE(task.report_progress);
  const Conversation& conversation = ConversationOf(request);
  EXPECT_FALSE(conversation.parallel_tool_calls);
  ASSERT_THAT(conversation.template_arguments, SizeIs(4));
  const auto arguments = text::jinja::Value::Object(conversation.template_arguments);
  EXPECT_EQ(arguments.Get("reasoning_effort").string(), "low");
  EXPECT_FALSE(arguments.Get("enable_thinking").boolean());  // the later one
  EXPECT_THAT(arguments.Get("x").list(), SizeIs(1));
  EXPECT_THAT(request->unknown, IsEmpty());
}

TEST(ChatRequest, UnknownMembersAreAcceptedAndNamed) {
  const auto request =
      ParseChatRequest(R"({"messages":[{"role":"user","content":"x","mood":1}],"speed":9})");
  ASSERT_TRUE(request);
  EXPECT_THAT(request->unknown, ElementsAre("messages[0].mood", "speed"));
}

TEST(ChatRequest, NullIsAbsent) {
  EXPECT_EQ(Refusal(Chat(R"("max_tokens":null,"stop":null,"seed":null,"tools":null,
    "tool_choice":null,"response_format":null,"logit_bias":null,"stream_options":null,
    "temperature":null,"n":null,"stream":null,"functions":null,"grammar":null)")),
            "");
}

TEST(ChatRequest, NumbersHaveRangesThatHoldAtTheirEdges) {
  struct Range {
    std::string_view key;
    std::vector<std::string_view> good;
    std::vector<std::string_view> bad;
  };
  const Range ranges[] = {
      {"n", {"1", "16"}, {"0", "17", "-1", "1.5", "9223372036854775807", "1e300"}},
      {"temperature", {"0", "2", "100"}, {"-0.01", "100.1", "-1e308", "1e308"}},
      {"top_p", {"0", "1"}, {"-0.1", "1.1"}},
      {"min_p", {"0", "1"}, {"-0.1", "1.1"}},
      {"top_k", {"-1", "0", "2147483647"}, {"-2", "2147483648"}},
      {"presence_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"frequency_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
      {"repeat_penalty", {"0.001", "1000"}, {"0", "-1", "1001"}},
      {"repeat_last_n", {"-1", "0", "2147483647"}, {"-2", "2147483648"}},
      {"max_tokens", {"-1", "1", "2147483647"}, {"0", "-2", "2147483648"}},
      {"max_completion_tokens", {"1"}, {"0", "-2"}},
      {"n_predict", {"-1", "1"}, {"0", "-2"}},
      {"seed",
       {"0", "-9223372036854775808", "9223372036854775807"},
       {"9223372036854775808", "-1e19", "0.5"}},
      {"mirostat", {"0"}, {"1", "2"}},
      {"typical_p", {"1", "1.0"}, {"0.9"}},
      {"n_discard", {"0"}, {"-5", "5"}},
  };
  for (const Range& range : ranges) {
    for (const std::string_view value : range.good) {
      EXPECT_EQ(Refusal(Chat(fmt::format("\"{}\":{}", range.key, value))), "") << value;
    }
    for (const std::string_view value : range.bad) {
      const std::string refusal = Refusal(Chat(fmt::format("\"{}\":{}", range.key, value)));
      EXPECT_THAT(refusal, testing::StartsWith(fmt::format("{}: ", range.key))) << value;
    }
    for (const std::string_view wrong : {"\"1\"", "true", "[]", "{}"}) {
      EXPECT_EQ(Refusal(Chat(fmt::format("\"{}\":{}", range.key, wrong))),
                fmt::format("{}: invalid_type", range.key));
    }
  }
}

TEST(ChatRequest, SaysInManyWordsWhatTheAnswerHasToBe) {
  using Kind = Constraint::Kind;
  const auto constraint = [](std::string_view members) {
    auto request = Chat(std::string(members));
    EXPECT_TRUE(request) << members << ": " << Refusal(request);
    return request ? std::move(request->task.constraint) : std::nullopt;
  };
  for (const char* nothing :
       {"", R"("response_format":{"type":"text"})", R"("grammar":"")", R"("json_schema":null)"}) {
    EXPECT_FALSE(constraint(nothing)) << nothing;
  }
  const struct {
    std::string_view members;
    Kind kind;
    std::string_view source;
    std::string_view param;
  } cases[] = {
      {R"("response_format":{"type":"json_object"})", Kind::kJsonObject, "", "response_format"},
      {R"("response_format":{"type":"json_object","schema":{"type":"array"}})", Kind::kJsonSchema,
       R"({"type":"array"})", "response_format.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":
          {"name":"a","strict":true,"schema":{"b":1,"a":2}}})",
       Kind::kJsonSchema, R"({"b":1,"a":2})", "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a"}})", Kind::kJsonObject,
       "", "response_format.json_schema"},
      {R"("grammar":"root ::= \"x\"")", Kind::kGbnf, R"(root ::= "x")", "grammar"},
      {R"("json_schema":{"type":"object"})", Kind::kJsonSchema, R"({"type":"object"})",
       "json_schema"},
      {R"("guided_json":"{\"type\":\"null\"}")", Kind::kJsonSchema, R"({"type":"null"})",
       "guided_json"},
      {R"("guided_regex":"a+")", Kind::kRegex, "a+", "guided_regex"},
      {R"("guided_choice":["a","b"])", Kind::kChoice, "", "guided_choice"},
      {R"("structured_outputs":{"regex":"a"})", Kind::kRegex, "a", "structured_outputs.regex"},
      {R"("structured_outputs":{"json_object":true})", Kind::kJsonObject, "",
       "structured_outputs.json_object"},
  };
  for (const auto& one : cases) {
    const auto found = constraint(one.members);
    ASSERT_TRUE(found) << one.members;
    EXPECT_EQ(found->kind, one.kind) << one.members;
    EXPECT_EQ(found->source, one.source);
    EXPECT_EQ(found->param, one.param);
  }
}

TEST(ChatRequest, KnownValuesWithoutSupportAreNamed) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"("response_format":{"type":"xml"})", "response_format.type: invalid_value"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":[]}})",
       "response_format.json_schema.schema: invalid_type"},
      {R"("structured_outputs":{"structural_tag":{}})",
       "structured_outputs.structural_tag: unsupported_value"},
      {R"("store":true)", "store: unsupported_value"},
      {R"("service_tier":"flex")", "service_tier: unsupported_value"},
      {R"("modalities":["text","audio"])", "modalities[1]: unsupported_value"},
      {R"("audio":{"voice":"x"})", "audio: unsupported_value"},
      {R"("web_search_options":{})", "web_search_options: unsupported_value"},
      {R"("verbosity":"low")", "verbosity: unsupported_value"},
      {R"("functions":[])", "functions: unsupported_value"},
      {R"("function_call":"auto")", "function_call: unsupported_value"},
      {R"("grammar":["root ::= x"])", "grammar: invalid_type"},
      {R"("json_schema":1)", "json_schema: invalid_type"},
      {R"("grammar":"root ::= \"x\"","guided_regex":"x")", ": invalid_value"},
      {R"("stream":true,"stream_options":{"include_obfuscation":true})",
       "stream_options.include_obfuscation: unsupported_value"},
      {R"("stream_options":{"include_usage":true})", "stream_options: invalid_value"},
      {R"("top_logprobs":5)", "top_logprobs: invalid_value"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs: invalid_value"},
      {R"("chat_template_kwargs":{"messages":[]})", "chat_template_kwargs.messages: invalid_value"},
      {R"("tools":[{"type":"web_search"}])", "tools[0].type: unsupported_value"},
      {R"("tool_choice":"required")", "tool_choice: invalid_value"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})",
       "tool_choice.function.name: invalid_value"},
  };
  for (const auto& [members, refusal] : cases) EXPECT_EQ(Refusal(Chat(members)), refusal);
}

TEST(ChatRequest, ListsHaveLimits) {
  const auto repeat = [](size_t n, std::string_view item) {
    std::string list;
    for (size_t i = 0; i < n; ++i) list += fmt::format("{}{}", i == 0 ? "" : ",", item);
    return list;
  };
  const std::string long_stop(256, 'x');
  EXPECT_EQ(Refusal(Chat(fmt::format(R"("stop":[{}])", repeat(16, "\"a\"")))), "");
  EXPECT_EQ(Refusal(Chat(fmt::format(R"("stop":[{}])", repeat(17, "\"a\"")))),
            "stop: invalid_value");
  EXPECT_EQ(Refusal(Chat(fmt::format(R"("stop":"{}")", long_stop))), "");
  EXPECT_EQ(Refusal(Chat(fmt::format(R"("stop":"{}x")", long_stop))), "stop: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("stop":["a",null])")), "stop[1]: invalid_type");
  EXPECT_EQ(Refusal(Chat(R"("stop":"")")), "stop: invalid_value");

  const auto bias = [](size_t n) {
    std::string map;
    for (size_t i = 0; i < n; ++i) map += fmt::format("{}\"{}\":1", i == 0 ? "" : ",", i);
    return fmt::format(R"("logit_bias":{{{}}})", map);
  };
  EXPECT_EQ(Refusal(Chat(bias(1024))), "");
  EXPECT_EQ(Refusal(Chat(bias(1025))), "logit_bias: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("logit_bias":{"-1":1})")), "logit_bias.-1: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("logit_bias":{"2147483648":1})")),
            "logit_bias.2147483648: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("logit_bias":{"5":101})")), "logit_bias.5: invalid_value");
  const auto pairs = Chat(R"("logit_bias":[[3,0.5],[4,false]])");
  ASSERT_TRUE(pairs);
  EXPECT_THAT(pairs->task.options.sampling.logit_bias,
              ElementsAre(Pair(3, 0.5F), Pair(4, -INFINITY)));
  EXPECT_EQ(Refusal(Chat(R"("logit_bias":[[3]])")), "logit_bias[0]: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("logit_bias":[[null,1]])")), "logit_bias[0]: invalid_value");

  const auto tools = [&](size_t n, std::string_view filler) {
    std::string list;
    for (size_t i = 0; i < n; ++i) {
      list +=
          fmt::format(R"({}{{"type":"function","function":{{"name":"f{}","description":"{}"}}}})",
                      i == 0 ? "" : ",", i, filler);
    }
    return fmt::format("\"tools\":[{}]", list);
  };
  EXPECT_EQ(Refusal(Chat(tools(128, ""))), "");
  EXPECT_EQ(Refusal(Chat(tools(129, ""))), "tools: invalid_value");
  EXPECT_EQ(Refusal(Chat(tools(2, std::string(250 << 10, 'd')))), "");
  EXPECT_EQ(Refusal(Chat(tools(2, std::string(260 << 10, 'd')))), "tools: invalid_value");
}

TEST(ChatRequest, MessagesOfEveryRole) {
  const auto request = ParseChatRequest(R"({"messages":[
    {"role":"developer","content":[{"type":"text","text":"Be"},{"type":"text","text":"brief."}]},
    {"role":"user","content":"Weather?","name":"ada"},
    {"role":"assistant","content":null,"reasoning_content":"hm","tool_calls":[
      {"id":"call_1","type":"function","function":{"name":"get","arguments":"{\"a\":1}"}},
      {"id":"call_2","type":"function","function":{"name":"put","arguments":{"b":[2]}}}]},
    {"role":"tool","tool_call_id":"call_1","content":"rain"},
    {"role":"function","name":"put","content":[]},
    {"role":"assistant","content":[{"type":"refusal","refusal":"No."}]}]})");
  ASSERT_TRUE(request) << request.error().message;
  const std::vector<Message>& messages = ConversationOf(request).messages;
  ASSERT_THAT(messages, SizeIs(6));
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[0].content, "Be\nbrief.");
  EXPECT_EQ(messages[1].name, "ada");
  EXPECT_EQ(messages[2].content, std::nullopt);
  EXPECT_EQ(messages[2].reasoning, "hm");
  ASSERT_THAT(messages[2].tool_calls, SizeIs(2));
  EXPECT_EQ(messages[2].tool_calls[0].id, "call_1");
  EXPECT_EQ(messages[2].tool_calls[0].name, "get");
  EXPECT_EQ(messages[2].tool_calls[0].arguments, R"({"a":1})");
  EXPECT_EQ(messages[2].tool_calls[1].arguments, R"({"b":[2]})");
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].tool_call_id, "call_1");
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[4].content, "");
  EXPECT_EQ(messages[5].content, "No.");
  EXPECT_THAT(request->unknown, IsEmpty());
}

TEST(ChatRequest, BadMessagesAreNamedByTheirPlace) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({})", "messages: missing_required_parameter"},
      {R"({"messages":[]})", "messages: invalid_value"},
      {R"({"messages":"Hi"})", "messages: invalid_type"},
      {R"({"messages":["Hi"]})", "messages[0]: invalid_type"},
      {R"({"messages":[null]})", "messages[0].role: missing_required_parameter"},
      {R"({"messages":[{"content":"x"}]})", "messages[0].role: missing_required_parameter"},
      {R"({"messages":[{"role":"robot","content":"x"}]})", "messages[0].role: invalid_value"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content: missing_required_parameter"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0].content: invalid_type"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]})",
       "messages[0].content[0].type: unsupported_value"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})",
       "messages[0].content[0].text: missing_required_parameter"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"x"}]}]})",
       "messages[0].tool_calls[0].function: missing_required_parameter"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"type":"custom","custom":{}}]}]})",
       "messages[0].tool_calls[0].type: unsupported_value"},
  };
  for (const auto& [body, refusal] : cases) EXPECT_EQ(Refusal(ParseChatRequest(body)), refusal);
}

constexpr std::string_view kTools = R"("tools":[
  {"type":"function","function":{"name":"get","description":"d",
     "parameters":{"type":"object","properties":{"b":{"type":"string"},"a":{}}},"strict":true}},
  {"type":"function","function":{"name":"put"}}])";

TEST(ChatRequest, ToolsKeepTheirDefinition) {
  const auto request = Chat(kTools);
  ASSERT_TRUE(request) << request.error().message;
  const Conversation& conversation = ConversationOf(request);
  ASSERT_THAT(conversation.tools, SizeIs(2));
  EXPECT_EQ(conversation.tools[0].name, "get");
  const auto function = conversation.tools[0].definition.Get("function");
  EXPECT_EQ(function.Get("description").string(), "d");
  const auto properties = function.Get("parameters").Get("properties");
  EXPECT_EQ(properties.dict().members()[0].first, "b");
  const auto without = conversation.tools[1].definition;
  EXPECT_EQ(without.Get("type").string(), "function");
  EXPECT_EQ(without.Get("function").Get("parameters").Get("type").string(), "object");
  EXPECT_EQ(conversation.tool_choice.kind, ToolChoice::Kind::kAuto);
}

TEST(ChatRequest, ToolChoices) {
  const auto choose = [](std::string_view choice) {
    return Chat(fmt::format("{},\"tool_choice\":{}", kTools, choice));
  };
  EXPECT_EQ(ConversationOf(choose(R"("none")")).tool_choice.kind, ToolChoice::Kind::kNone);
  EXPECT_EQ(ConversationOf(choose(R"("auto")")).tool_choice.kind, ToolChoice::Kind::kAuto);
  EXPECT_EQ(ConversationOf(choose(R"("required")")).tool_choice.kind, ToolChoice::Kind::kRequired);
  const auto named = choose(R"({"type":"function","function":{"name":"put"}})");
  EXPECT_EQ(ConversationOf(named).tool_choice.kind, ToolChoice::Kind::kNamed);
  EXPECT_EQ(ConversationOf(named).tool_choice.name, "put");
  const auto allowed = choose(R"({"type":"allowed_tools","allowed_tools":{"mode":"required",
    "tools":[{"type":"function","function":{"name":"put"}}]}})");
  ASSERT_TRUE(allowed) << allowed.error().message;
  EXPECT_EQ(ConversationOf(allowed).tool_choice.kind, ToolChoice::Kind::kRequired);
  ASSERT_THAT(ConversationOf(allowed).tools, SizeIs(1));
  EXPECT_EQ(ConversationOf(allowed).tools[0].name, "put");
  EXPECT_EQ(Refusal(choose(R"({"type":"function","function":{"name":"no"}})")),
            "tool_choice.function.name: invalid_value");
  EXPECT_EQ(Refusal(choose(R"("any")")), "tool_choice: invalid_value");
  EXPECT_EQ(Refusal(choose("5")), "tool_choice: invalid_type");
}

TEST(ChatRequest, ToolNamesAreNamesAndUnlike) {
  EXPECT_EQ(Refusal(Chat(R"("tools":[{"type":"function","function":{"name":"a b"}}])")),
            "tools[0].function.name: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("tools":[{"type":"function","function":{"name":""}}])")),
            "tools[0].function.name: invalid_value");
  EXPECT_EQ(Refusal(Chat(R"("tools":[{"type":"function","function":{"name":"f"}},
                                     {"type":"function","function":{"name":"f"}}])")),
            "tools[1]: invalid_value");
}

TEST(CompletionRequest, PromptsOfEveryShape) {
  const auto texts = [](std::string_view prompt) {
    const auto request = ParseCompletionRequest(fmt::format(R"({{"prompt":{}}})", prompt));
    return std::get<std::vector<PlainPrompt>>(request.value().task.input);
  };
  EXPECT_EQ(std::get<std::string>(texts(R"("ab")").at(0).text), "ab");
  EXPECT_THAT(texts(R"(["ab","c"])"), SizeIs(2));
  EXPECT_THAT(std::get<std::vector<TokenId>>(texts("[1,2,3]").at(0).text), ElementsAre(1, 2, 3));
  const auto lists = texts("[[1,2],[3]]");
  ASSERT_THAT(lists, SizeIs(2));
  EXPECT_THAT(std::get<std::vector<TokenId>>(lists[1].text), ElementsAre(3));

  const std::pair<std::string_view, std::string_view> bad[] = {
      {R"({})", "prompt: missing_required_parameter"},
      {R"({"prompt":""})", "prompt: invalid_value"},
      {R"({"prompt":[]})", "prompt: invalid_value"},
      {R"({"prompt":[1,"a"]})", "prompt[1]: invalid_type"},
      {R"({"prompt":[1,-1]})", "prompt[1]: invalid_value"},
      {R"({"prompt":[1,2147483648]})", "prompt[1]: invalid_value"},
      {R"({"prompt":["a",null]})", "prompt[1]: invalid_type"},
      {R"({"prompt":[[1],[]]})", "prompt[1]: invalid_value"},
      {R"({"prompt":"a","suffix":"b"})", "suffix: unsupported_value"},
      {R"({"prompt":"a","best_of":2})", "best_of: unsupported_value"},
      {R"({"prompt":"a","logprobs":21})", "logprobs: invalid_value"},
      {R"({"prompt":"a","echo":true,"logprobs":1})", "logprobs: unsupported_value"},
      {R"({"prompt":["a","a","a","a","a","a","a","a","a"],"n":15})", "prompt: invalid_value"},
  };
  for (const auto& [body, refusal] : bad) {
    EXPECT_EQ(Refusal(ParseCompletionRequest(body)), refusal) << body;
  }
}

TEST(CompletionRequest, TakesAResponseFormat) {
  using Kind = Constraint::Kind;
  const auto with = [](std::string_view members) {
    return ParseCompletionRequest(fmt::format(R"({{"prompt":"a",{}}})", members));
  };
  const auto object = with(R"("response_format":{"type":"json_object"})");
  EXPECT_EQ(object.value().task.constraint.value().kind, Kind::kJsonObject);
  const auto schema =
      with(R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"null"}}})");
  EXPECT_EQ(schema.value().task.constraint.value().source, R"({"type":"null"})");
  EXPECT_THAT(schema.value().unknown, IsEmpty());
  EXPECT_FALSE(with(R"("response_format":{"type":"text"})").value().task.constraint);
  EXPECT_EQ(Refusal(with(R"("response_format":{"type":"xml"})")),
            "response_format.type: invalid_value");
  EXPECT_EQ(Refusal(with(R"("grammar":"root ::= \"a\"","response_format":{"type":"json_object"})")),
            ": invalid_value");
}

TEST(CompletionRequest, FieldsFindTheirPlace) {
  const auto request = ParseCompletionRequest(
      R"({"prompt":"a","echo":true,"max_tokens":4,"suffix":null,"best_of":2,"n":2,"model":"m"})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->task.options.n_predict, 4U);
  EXPECT_TRUE(std::get<std::vector<PlainPrompt>>(request->task.input).at(0).echo);
  const auto logprobs = ParseCompletionRequest(R"({"prompt":"a","logprobs":0})");
  EXPECT_EQ(logprobs.value().task.n_top_logprobs, 0U);
}

TEST(EmbeddingRequest, InputsAndEncoding) {
  const auto request =
      ParseEmbeddingRequest(R"({"model":"m","input":["a",[1,2]],"encoding_format":"base64"})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_TRUE(request->base64);
  ASSERT_THAT(request->inputs, SizeIs(2));
  EXPECT_THAT(std::get<std::vector<TokenId>>(request->inputs[1]), ElementsAre(1, 2));
  EXPECT_FALSE(ParseEmbeddingRequest(R"({"input":"a"})")->base64);
  EXPECT_EQ(ParseEmbeddingRequest(R"({"input":"a","dimensions":64})").error().param, "dimensions");
  EXPECT_EQ(ParseEmbeddingRequest(R"({"input":"a","encoding_format":"hex"})").error().param,
            "encoding_format");
  EXPECT_EQ(ParseEmbeddingRequest(R"({"input":[]})").error().param, "input");
  EXPECT_EQ(ParseEmbeddingRequest(R"({})").error().param, "input");
  std::string many = "\"a\"";
  for (size_t i = 1; i < kMaxInputs; ++i) many += ",\"a\"";
  EXPECT_TRUE(ParseEmbeddingRequest(fmt::format(R"({{"input":[{}]}})", many)));
  EXPECT_FALSE(ParseEmbeddingRequest(fmt::format(R"({{"input":[{},"a"]}})", many)));
}

TEST(TokenRequests, AsLlamaServerHasThem) {
  const auto request = ParseTokenizeRequest(R"({"content":"a b"})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->content, "a b");
  EXPECT_FALSE(request->add_special);
  EXPECT_TRUE(request->parse_special);
  EXPECT_FALSE(request->with_pieces);
  EXPECT_TRUE(ParseTokenizeRequest(R"({"content":"","with_pieces":true})")->with_pieces);
  EXPECT_EQ(ParseTokenizeRequest("{}").error().param, "content");
  EXPECT_THAT(ParseDetokenizeRequest(R"({"tokens":[5,6]})")->tokens, ElementsAre(5, 6));
  EXPECT_THAT(ParseDetokenizeRequest(R"({"tokens":[]})")->tokens, IsEmpty());
  EXPECT_EQ(ParseDetokenizeRequest(R"({"tokens":[-1]})").error().param, "tokens[0]");
}

}  // namespace
}  // namespace plimsoll::server::api::openai
