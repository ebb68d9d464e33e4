// Ollama's routes. What would change its store is answered with 501: models are files here.
#include <chrono>
#include <utility>

#include "base/json_text.h"
#include "server/api/ollama/replies.h"
#include "server/api/ollama/requests.h"
#include "server/embed_texts.h"
#include "server/server.h"

namespace plimsoll::server {
namespace {

namespace ollama = api::ollama;
using ExchangePtr = std::shared_ptr<http::Exchange>;

void WriteDetails(JsonText& json, const engine::ModelSummary* summary) {
  json.Key("details").BeginObject();
  json.Key("parent_model").String("");
  json.Key("format").String("gguf");
  json.Key("family").String(summary == nullptr ? "" : summary->architecture);
  json.Key("families").BeginArray();
  if (summary != nullptr) {
    json.String(summary->architecture);
  }
  json.EndArray();
  json.Key("parameter_size").String("");
  json.Key("quantization_level").String("");
  json.EndObject();
}

std::string TimeOf(int64_t seconds) {
  return ollama::TimeText(std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
}

std::shared_ptr<engine::Service> LoadedAs(const Models& models, const std::string& name) {
  for (auto& service : models.Loaded()) {
    if (service->summary().name == name) {
      return service;
    }
  }
  return nullptr;
}

http::Response Tags(const Models& models) {
  JsonText json;
  json.BeginObject().Key("models").BeginArray();
  for (const ModelListing& listing : models.List()) {
    const auto service = LoadedAs(models, listing.name);
    json.BeginObject();
    json.Key("name").String(listing.name);
    json.Key("model").String(listing.name);
    json.Key("modified_at").String(TimeOf(listing.created));
    json.Key("size").Number(listing.file_bytes);
    json.Key("digest").String("");
    WriteDetails(json, service == nullptr ? nullptr : &service->summary());
    json.EndObject();
  }
  json.EndArray().EndObject();
  return {.body = json.text()};
}

// What is in memory. Nothing expires by the clock.
http::Response Ps(const Models& models) {
  JsonText json;
  json.BeginObject().Key("models").BeginArray();
  for (const auto& service : models.Loaded()) {
    const engine::ModelSummary& summary = service->summary();
    json.BeginObject();
    json.Key("name").String(summary.name);
    json.Key("model").String(summary.name);
    json.Key("size").Number(service->ledger().reserved_bytes);
    json.Key("size_vram").Number(0);
    json.Key("digest").String("");
    json.Key("context_length").Number(summary.n_ctx);
    json.Key("expires_at").String("0001-01-01T00:00:00Z");
    WriteDetails(json, &summary);
    json.EndObject();
  }
  json.EndArray().EndObject();
  return {.body = json.text()};
}

api::ApiResult<http::Response> Show(const engine::Service& service) {
  const engine::ModelSummary& summary = service.summary();
  const auto chat_template = service.chat_template();
  const std::string_view source =
      chat_template && *chat_template != nullptr ? (*chat_template)->source() : std::string_view();
  JsonText json;
  json.BeginObject();
  json.Key("modelfile").String("");
  json.Key("parameters").String("");
  json.Key("template").String(source);
  WriteDetails(json, &summary);
  json.Key("model_info").BeginObject();
  json.Key("general.architecture").String(summary.architecture);
  json.Key("general.name").String(summary.name);
  json.Key(summary.architecture + ".context_length").Number(summary.n_ctx_train);
  json.Key(summary.architecture + ".block_count").Number(summary.n_layers);
  json.EndObject();
  json.Key("capabilities").BeginArray().String("completion").String("tools").EndArray();
  json.EndObject();
  return http::Response{.body = json.text()};
}

using ParseTextFn = api::ApiResult<ollama::TextRequest> (*)(std::string_view body);

// The context that a client counts on is only known to suffice when the model is.
void AnswerText(const ServingPtr& serving, ollama::TextRequest text, const ExchangePtr& exchange) {
  const std::string model = text.request.task.model;
  AnswerLater(text.request, *exchange);
  serving->models->Use(
      model, [serving, text = std::move(text),
              exchange](const api::ApiResult<std::shared_ptr<engine::Service>>& used) mutable {
        if (!used) {
          exchange->Respond(ollama::ErrorResponse(used.error()));
          return;
        }
        if (auto fits = ollama::CheckContext(text.n_ctx, (*used)->summary().n_ctx); !fits) {
          exchange->Respond(ollama::ErrorResponse(fits.error()));
        } else if (text.only_load) {
          exchange->Respond({.body = ollama::LoadedBody(text.request.task.model, text.reply,
                                                        /*unload=*/false)});
        } else {
          RunRequest(serving, std::move(text.request), ollama::ErrorResponse, exchange);
        }
      });
}

http::Handler TextHandler(ServingPtr serving, ParseTextFn parse) {
  return [serving = std::move(serving), parse](const ExchangePtr& exchange) {
    auto request = parse(exchange->request().body);
    if (!request) {
      exchange->Respond(ollama::ErrorResponse(request.error()));
      return;
    }
    if (request->only_unload) {
      serving->models->Unload(request->request.task.model);
      exchange->Respond({.body = ollama::LoadedBody(request->request.task.model, request->reply,
                                                    /*unload=*/true)});
      return;
    }
    AnswerText(serving, *std::move(request), exchange);
  };
}

http::Response EmbedReply(const Embedded& embedded) {
  JsonText json;
  json.BeginObject();
  json.Key("model").String(embedded.model);
  json.Key("embeddings").BeginArray();
  for (const std::vector<float>& vector : embedded.vectors) {
    json.BeginArray();
    for (const float x : vector) {
      json.Number(x);
    }
    json.EndArray();
  }
  json.EndArray();
  json.Key("prompt_eval_count").Number(embedded.n_tokens);
  json.EndObject();
  return {.body = json.text()};
}

http::Handler EmbedHandler(ServingPtr serving) {
  return [serving = std::move(serving)](ExchangePtr exchange) {
    auto request = ollama::ParseEmbedRequest(exchange->request().body);
    if (!request) {
      exchange->Respond(ollama::ErrorResponse(request.error()));
      return;
    }
    LogUnknown(*serving, *exchange, request->unknown);
    std::vector<EmbedInput> inputs(request->inputs.begin(), request->inputs.end());
    EmbedTexts(serving, request->model, std::move(inputs),
               {.truncate = request->truncate, .reply = EmbedReply}, ollama::ErrorResponse,
               std::move(exchange));
  };
}

http::Handler ShowHandler(ServingPtr serving) {
  return [serving = std::move(serving)](ExchangePtr exchange) {
    const auto model = ollama::ParseShowRequest(exchange->request().body);
    if (!model) {
      exchange->Respond(ollama::ErrorResponse(model.error()));
      return;
    }
    WithModel(serving, *model, ollama::ErrorResponse, std::move(exchange), Show);
  };
}

}  // namespace

void AddOllamaRoutes(http::Router& router, const ServingPtr& serving) {
  const auto add = [&](const char* method, const char* path, http::Handler handler) {
    router.Add({.method = method, .path = path, .handler = std::move(handler)});
  };
  add("POST", "/api/chat", TextHandler(serving, ollama::ParseChatRequest));
  add("POST", "/api/generate", TextHandler(serving, ollama::ParseGenerateRequest));
  add("POST", "/api/embed", EmbedHandler(serving));
  add("POST", "/api/show", ShowHandler(serving));
  add("GET", "/api/tags",
      [serving](const ExchangePtr& exchange) { exchange->Respond(Tags(*serving->models)); });
  add("GET", "/api/ps",
      [serving](const ExchangePtr& exchange) { exchange->Respond(Ps(*serving->models)); });
  add("GET", "/api/version", [serving](const ExchangePtr& exchange) {
    exchange->Respond(
        {.body =
             JsonText().BeginObject().Key("version").String(serving->version).EndObject().text()});
  });
  const auto refuse = [](const ExchangePtr& exchange) {
    exchange->Respond(ollama::ErrorResponse(
        {.status = 501,
         .message = "models are files here, which this server only reads: put them where it looks",
         .type = "not_implemented",
         .may_retry = false}));
  };
  for (const char* path : {"/api/pull", "/api/push", "/api/create", "/api/copy"}) {
    add("POST", path, refuse);
  }
  add("DELETE", "/api/delete", refuse);
}

}  // namespace plimsoll::server
