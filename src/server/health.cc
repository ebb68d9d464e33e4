#include "server/health.h"

#include <utility>

#include "base/json_text.h"
#include "server/http/http_error.h"
#include "server/refusals.h"

namespace plimsoll::server {

using http::Exchange;
using http::Response;

void Health::SetProgress(const engine::LoadProgress& progress) {
  const std::scoped_lock lock(mutex_);
  progress_ = progress;
}

void Health::SetState(State state) {
  const std::scoped_lock lock(mutex_);
  state_ = state;
}

Health::State Health::state() const {
  const std::scoped_lock lock(mutex_);
  return state_;
}

void Health::Watch(std::function<double()> seconds_since_step, double max_seconds) {
  const std::scoped_lock lock(mutex_);
  seconds_since_step_ = std::move(seconds_since_step);
  max_seconds_ = max_seconds;
}

void Health::WatchDisk(std::function<std::optional<std::string>()> trouble) {
  const std::scoped_lock lock(mutex_);
  disk_trouble_ = std::move(trouble);
}

Response Health::DescribeLife() const {
  const std::scoped_lock lock(mutex_);
  if (!seconds_since_step_ || seconds_since_step_() <= max_seconds_) {
    return {.body = R"({"status":"ok"})", .headers = {}};
  }
  return http::ErrorResponse(
      {.status = 503, .code = "stuck", .message = "the engine has not ended a step for too long"});
}

Response Health::Describe() const {
  const std::scoped_lock lock(mutex_);
  Response response;
  if (state_ == State::kReady) {
    if (const auto trouble = disk_trouble_ ? disk_trouble_() : std::nullopt) {
      return http::ErrorResponse({.status = 503, .code = "disk", .message = *trouble});
    }
    response.body = R"({"status":"ok"})";
    return response;
  }
  const bool is_loading = state_ == State::kLoading;
  JsonText json;
  json.BeginObject().Key("error").BeginObject();
  json.Key("message").String(is_loading ? "the model is being loaded" : "the server is stopping");
  json.Key("type").String("unavailable_error");
  json.Key("param").Null().Key("code").String(is_loading ? "loading" : "stopping").EndObject();
  if (is_loading) {
    json.Key("progress").BeginObject().Key("bytes_done").Number(progress_.bytes_done);
    json.Key("bytes_total").Number(progress_.bytes_total).EndObject();
  }
  json.EndObject();
  response.status = 503;
  response.body = json.text();
  response.headers.emplace_back("Retry-After", "5");
  return response;
}

Response Health::Refuse(std::string_view path) const {
  Response response = Describe();
  if (HasOwnRefusals(path)) {
    response.body = RefusalBody(
        {.status = response.status, .code = "loading", .message = "the model is being loaded"},
        path);
  }
  return response;
}

void AddHealthRoutes(http::Router& router, const std::shared_ptr<Health>& health) {
  const auto describe = [health](const std::shared_ptr<Exchange>& exchange) {
    exchange->Respond(health->Describe());
  };
  router.Add({.method = "GET",
              .path = "/livez",
              .handler =
                  [health](const std::shared_ptr<Exchange>& exchange) {
                    exchange->Respond(health->DescribeLife());
                  },
              .open = true,
              .quick = true});
  for (const char* path : {"/readyz", "/health", "/v1/health"}) {
    router.Add({.method = "GET", .path = path, .handler = describe, .quick = true});
  }
}

http::Router LoadingRoutes(const std::shared_ptr<Health>& health) {
  http::Router router;
  AddHealthRoutes(router, health);
  for (const char* method : {"GET", "POST", "PUT", "DELETE"}) {
    for (const char* path : {"/", "/*"}) {
      router.Add({.method = method,
                  .path = path,
                  .handler =
                      [health](const std::shared_ptr<Exchange>& exchange) {
                        exchange->Respond(health->Refuse(exchange->request().path));
                      },
                  .quick = true});
    }
  }
  return router;
}

}  // namespace plimsoll::server
