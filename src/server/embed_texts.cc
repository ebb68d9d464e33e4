#include "server/embed_texts.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "server/api/service_errors.h"

namespace plimsoll::server {
namespace {

api::ApiResult<std::vector<TokenId>> TokensOf(const engine::Service& service,
                                              const EmbedInput& input, size_t index,
                                              bool truncate) {
  const text::Tokenizer& tokenizer = service.tokenizer();
  const auto fail = [index](std::string message, std::string code) {
    return tl::make_unexpected(api::ApiError{.message = std::move(message),
                                             .code = std::move(code),
                                             .param = fmt::format("input[{}]", index)});
  };
  const auto* text = std::get_if<std::string>(&input);
  std::vector<TokenId> tokens = text != nullptr ? tokenizer.Encode(*text, {.add_bos_eos = true})
                                                : std::get<std::vector<TokenId>>(input);
  const auto n_vocab = static_cast<TokenId>(tokenizer.size());
  if (std::ranges::any_of(tokens, [n_vocab](TokenId id) { return id < 0 || id >= n_vocab; })) {
    return fail(fmt::format("an id is none of the vocabulary, which has ids 0 to {}", n_vocab - 1),
                "invalid_token");
  }
  if (tokens.empty()) {
    return fail("the text has no tokens", "empty_input");
  }
  const uint32_t n_ctx = service.summary().n_ctx;
  if (tokens.size() > n_ctx) {
    if (!truncate) {
      return fail(
          fmt::format("the text has {} tokens, and the context holds {}", tokens.size(), n_ctx),
          "context_length_exceeded");
    }
    tokens.resize(n_ctx);
  }
  return tokens;
}

api::ApiResult<engine::Service::Texts> TextsOf(const engine::Service& service,
                                               const std::vector<EmbedInput>& inputs,
                                               bool truncate) {
  engine::Service::Texts texts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto tokens = TokensOf(service, inputs[i], i, truncate);
    if (!tokens) {
      return tl::make_unexpected(std::move(tokens).error());
    }
    texts.push_back(*std::move(tokens));
  }
  return texts;
}

void Submit(const std::shared_ptr<engine::Service>& service, const std::vector<EmbedInput>& inputs,
            const EmbedOptions& options, ErrorFn error_response,
            const std::shared_ptr<http::Exchange>& exchange) {
  auto texts = TextsOf(*service, inputs, options.truncate);
  if (!texts) {
    exchange->Respond(error_response(texts.error()));
    return;
  }
  uint64_t n_tokens = 0;
  for (const auto& text : *texts) {
    n_tokens += text.size();
  }
  // The service is held until it is done, or it might be unloaded in the meantime.
  const auto id = service->Embed(
      *std::move(texts), [service, exchange, error_response, n_tokens,
                          reply = options.reply](Result<std::vector<std::vector<float>>> done) {
        exchange->Respond(done ? reply({.model = service->summary().name,
                                        .vectors = *std::move(done),
                                        .n_tokens = n_tokens})
                               : error_response(api::EngineError(done.error())));
      });
  if (!id) {
    exchange->Respond(error_response(api::OverloadError(id.error())));
    return;
  }
  exchange->OnGone([weak = std::weak_ptr(service), id = *id] {
    if (const auto held = weak.lock()) {
      held->Cancel(id);
    }
  });
}

}  // namespace

void EmbedTexts(const ServingPtr& serving, const std::string& model, std::vector<EmbedInput> inputs,
                EmbedOptions options, ErrorFn error_response,
                std::shared_ptr<http::Exchange> exchange) {
  exchange->AnswerLater({}, " ");
  serving->models->Use(model, [inputs = std::move(inputs), options = std::move(options),
                               error_response, exchange = std::move(exchange)](
                                  const api::ApiResult<std::shared_ptr<engine::Service>>& used) {
    if (used) {
      Submit(*used, inputs, options, error_response, exchange);
    } else {
      exchange->Respond(error_response(used.error()));
    }
  });
}

}  // namespace plimsoll::server
