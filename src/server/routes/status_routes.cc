// What a server says of itself: properties, slots, metrics, memory, and the line.
#include <utility>

#include <boost/json/value.hpp>

#include "base/bytes.h"
#include "base/json_text.h"
#include "engine/snapshot_json.h"
#include "server/api/json/fields.h"
#include "server/api/json/parse_body.h"
#include "server/api/openai/replies.h"
#include "server/api/service_errors.h"
#include "server/metrics.h"
#include "server/server.h"

namespace plimsoll::server {
namespace {

namespace openai = api::openai;
using ExchangePtr = std::shared_ptr<http::Exchange>;

http::Response Props(const Serving& serving) {
  const auto loaded = serving.models->Loaded();
  JsonText json;
  json.BeginObject();
  json.Key("build_info").String("plimsoll " + serving.version);
  json.Key("models").BeginArray();
  for (const auto& service : loaded) {
    json.String(service->summary().name);
  }
  json.EndArray();
  if (!loaded.empty()) {
    const engine::Service& service = *loaded.front();
    const engine::ModelSummary& summary = service.summary();
    json.Key("model_alias").String(summary.name);
    json.Key("total_slots").Number(serving.n_parallel);
    json.Key("default_generation_settings").BeginObject();
    json.Key("n_ctx").Number(summary.n_ctx);
    json.EndObject();
    const auto chat_template = service.chat_template();
    json.Key("chat_template");
    json.String(chat_template && *chat_template != nullptr ? (*chat_template)->source() : "");
  }
  json.EndObject();
  return {.body = json.text()};
}

http::Response Slots(const Models& models) {
  JsonText json;
  json.BeginArray();
  for (const auto& service : models.Loaded()) {
    const engine::ServiceSnapshot snapshot = service->Snapshot();
    const auto write = [&](const engine::ServiceSnapshot::Slot& slot, bool is_processing) {
      json.BeginObject();
      json.Key("id").Number(slot.id);
      json.Key("model").String(service->summary().name);
      json.Key("n_ctx").Number(service->summary().n_ctx);
      json.Key("is_processing").Bool(is_processing);
      json.Key("n_prompt_tokens").Number(slot.n_prompt);
      json.Key("n_prompt_tokens_processed").Number(slot.n_prompt_done);
      json.Key("n_decoded").Number(slot.n_generated);
      json.EndObject();
    };
    for (const auto& slot : snapshot.running) {
      write(slot, true);
    }
    for (const auto& slot : snapshot.paused) {
      write(slot, false);
    }
  }
  json.EndArray();
  return {.body = json.text()};
}

http::Response Metrics(const Serving& serving) {
  std::vector<ModelMetrics> models;
  for (const auto& service : serving.models->Loaded()) {
    const std::string& name = service->summary().name;
    models.push_back({.name = name, .service = service, .times = serving.times->Of(name)});
  }
  const auto connections = serving.connections ? serving.connections() : http::ConnectionStats{};
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = WriteMetrics(models, connections)};
}

http::Response Memory(const Models& models) {
  JsonText json;
  json.BeginObject();
  json.Key("line_bytes").Number(models.line());
  json.Key("least_line_bytes").Number(models.least_line());
  json.Key("models").BeginArray();
  std::optional<memory::LedgerSnapshot> first;
  for (const auto& service : models.Loaded()) {
    const memory::LedgerSnapshot ledger = service->ledger();
    first = first.value_or(ledger);
    json.BeginObject();
    json.Key("model").String(service->summary().name);
    json.Key("kv_type").String(service->summary().kv_type);
    json.Key("kv_policy").String(service->summary().kv_policy);
    json.Key("memory");
    engine::WriteMemory(json, ledger);
    if (const auto paging = service->paging()) {
      json.Key("paging");
      engine::WritePaging(json, *paging);
    }
    if (const auto streaming = service->streaming()) {
      json.Key("streaming");
      engine::WriteStreaming(json, *streaming);
    }
    if (const auto disk = service->Snapshot().kv_disk) {
      json.Key("kv_disk");
      engine::WriteKvDisk(json, *disk);
    }
    json.Key("bound");
    if (const auto bound = service->bound()) {
      engine::WriteBound(json, *bound);
    } else {
      json.Null();
    }
    json.EndObject();
  }
  json.EndArray();
  if (first) {
    json.Key("process");
    engine::WriteProcessMemory(json, *first);
  }
  json.EndObject();
  return {.body = json.text()};
}

http::Response Line(const Models& models) {
  return {.body = JsonText()
                      .BeginObject()
                      .Key("bytes")
                      .Number(models.line())
                      .Key("least_bytes")
                      .Number(models.least_line())
                      .EndObject()
                      .text()};
}

// {"bytes": 8589934592} or {"memory": "8G"}
api::ApiResult<uint64_t> WantedLine(std::string_view body) {
  auto parsed = api::ParseBody(body);
  if (!parsed) {
    return tl::make_unexpected(std::move(parsed).error());
  }
  api::Reading reading;
  api::Fields fields = reading.Open(*parsed);
  const auto bytes = fields["bytes"].Integer({.least = 0});
  const api::Field memory = fields["memory"];
  std::optional<uint64_t> wanted;
  if (bytes) {
    wanted = static_cast<uint64_t>(*bytes);
  } else if (const auto text = memory.String()) {
    const auto size = ParseSize(std::string(*text));
    if (!size || size->percent > 0) {
      memory.Fail("invalid_value", "is no size in bytes, such as 8G or 512M.");
    } else {
      wanted = size->bytes;
    }
  }
  if (!wanted && !reading.error) {
    fields.Fail("missing_value", "needs 'bytes' or 'memory'.");
  }
  if (reading.error) {
    return tl::make_unexpected(*reading.error);
  }
  return *wanted;
}

void MoveLine(Models& models, http::Exchange& exchange) {
  const auto wanted = WantedLine(exchange.request().body);
  if (!wanted) {
    exchange.Respond(openai::ErrorResponse(wanted.error()));
    return;
  }
  if (auto moved = models.SetLine(*wanted); !moved) {
    api::ApiError error = api::EngineError(moved.error());
    error.status = 409;
    exchange.Respond(openai::ErrorResponse(error));
    return;
  }
  exchange.Respond(Line(models));
}

}  // namespace

void AddStatusRoutes(http::Router& router, const ServingPtr& serving) {
  const auto get = [&](const char* path, auto answer) {
    router.Add(
        {.method = "GET", .path = path, .handler = [serving, answer](const ExchangePtr& exchange) {
           exchange->Respond(answer(*serving));
         }});
  };
  get("/props", Props);
  get("/slots", [](const Serving& s) { return Slots(*s.models); });
  get("/metrics", Metrics);
  get("/v1/engine/memory", [](const Serving& s) { return Memory(*s.models); });
  get("/v1/engine/line", [](const Serving& s) { return Line(*s.models); });
  router.Add({.method = "PUT",
              .path = "/v1/engine/line",
              .handler = [serving](const ExchangePtr& exchange) {
                MoveLine(*serving->models, *exchange);
              }});
}

}  // namespace plimsoll::server
