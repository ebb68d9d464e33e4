#include "server/api/prepare_task.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "engine/chat.h"
#include "server/api/render.h"

namespace plimsoll::server::api {
namespace {

std::string_view TemplateSource(const engine::Service& service) {
  const auto chat_template = service.chat_template();
  return chat_template && *chat_template != nullptr ? (*chat_template)->source()
                                                    : std::string_view();
}

bool HasCalls(const Conversation& conversation) {
  return std::ranges::any_of(conversation.messages, [](const Message& message) {
    return message.role == "tool" || !message.tool_calls.empty();
  });
}

bool OffersTools(const Conversation& conversation) {
  return !conversation.tools.empty() && conversation.tool_choice.kind != ToolChoice::Kind::kNone;
}

ApiResult<PreparedTask> PrepareConversation(const engine::Service& service,
                                            const Conversation& conversation, bool stream,
                                            const std::optional<Constraint>& constraint) {
  PreparedTask task;
  output::SplitterOptions splitting;
  splitting.format = output::FindOutputFormat(TemplateSource(service));
  const bool offers = OffersTools(conversation);
  auto prompt =
      (offers || HasCalls(conversation)) && !splitting.format.template_has_tools
          ? RenderConversation(service, output::WithGenericTools(conversation))
          : RenderConversation(service, output::ForTemplate(conversation, splitting.format));
  if (!prompt) {
    return tl::make_unexpected(std::move(prompt).error());
  }
  splitting.starts_in_reasoning = output::EndsInReasoning(splitting.format, prompt->text);
  task.form = output::FindAnswerForm(splitting.format, conversation, constraint, prompt->text);
  if (offers) {
    splitting.tools = conversation.tools;
    splitting.stream_arguments = stream;
    splitting.one_call = conversation.tool_choice.kind == ToolChoice::Kind::kNamed ||
                         !conversation.parallel_tool_calls;
    task.opening = output::ForcedOpening(conversation.tool_choice, splitting.format, prompt->text);
    prompt->text += task.opening;
  }
  task.prompts.push_back(
      {.text = prompt->WithoutMarks(),
       .tokens = engine::EncodePrompt(service.tokenizer(), prompt->text, prompt->mark),
       .echo = {}});
  task.splitting = std::move(splitting);
  return task;
}

ApiResult<> CheckTokens(const text::Tokenizer& tokenizer, std::span<const TokenId> tokens) {
  const auto n = static_cast<TokenId>(tokenizer.size());
  const auto bad = std::ranges::find_if(tokens, [n](TokenId id) { return id < 0 || id >= n; });
  if (bad == tokens.end()) {
    return {};
  }
  return tl::make_unexpected(ApiError{
      .message = fmt::format("{} is no token id: the vocabulary has ids 0 to {}", *bad, n - 1),
      .code = "invalid_token",
      .param = "prompt"});
}

ApiResult<PreparedPrompt> PreparePlain(const text::Tokenizer& tokenizer,
                                       const PlainPrompt& prompt) {
  PreparedPrompt prepared;
  if (const auto* text = std::get_if<std::string>(&prompt.text)) {
    prepared.text = *text;
    prepared.tokens = engine::EncodePrompt(tokenizer, *text);
  } else {
    prepared.tokens = std::get<std::vector<TokenId>>(prompt.text);
    if (auto checked = CheckTokens(tokenizer, prepared.tokens); !checked) {
      return tl::make_unexpected(std::move(checked).error());
    }
  }
  if (prompt.echo) {
    prepared.echo =
        prepared.text.empty() ? tokenizer.Decode(prepared.tokens, false) : prepared.text;
  }
  return prepared;
}

}  // namespace

ApiResult<PreparedTask> PrepareTask(const engine::Service& service, const Task& task) {
  if (const auto* conversation = std::get_if<Conversation>(&task.input)) {
    return PrepareConversation(service, *conversation, task.stream, task.constraint);
  }
  PreparedTask prepared;
  if (task.constraint) {
    prepared.form = output::PlainForm(*task.constraint);
  }
  for (const PlainPrompt& prompt : std::get<std::vector<PlainPrompt>>(task.input)) {
    auto plain = PreparePlain(service.tokenizer(), prompt);
    if (!plain) {
      return tl::make_unexpected(std::move(plain).error());
    }
    prepared.prompts.push_back(*std::move(plain));
  }
  return prepared;
}

}  // namespace plimsoll::server::api
