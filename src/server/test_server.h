// A server without sockets, for tests: the bundled model behind all routes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/server.h"

namespace plimsoll::server {

// Keeps what it is answered.
class TestExchange final : public http::Exchange {
 public:
  explicit TestExchange(http::Request request) : request_(std::move(request)) {}

  [[nodiscard]] const http::Request& request() const override { return request_; }
  void Respond(http::Response response) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(response);
    body_ = response_.body;
    Over();
  }
  void Begin(http::Response head, std::string keep_alive) override {
    const std::lock_guard lock(mutex_);
    response_ = std::move(head);
    keep_alive_ = std::move(keep_alive);
  }
  bool Send(std::string part) override {
    const std::lock_guard lock(mutex_);
    body_ += part;
    return !gone_;
  }
  void End() override {
    const std::lock_guard lock(mutex_);
    Over();
  }
  void Abort() override {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
    Over();
  }
  [[nodiscard]] uint64_t unsent_bytes() const override { return 0; }
  void OnGone(std::function<void()> on_gone) override {
    const std::lock_guard lock(mutex_);
    on_gone_ = std::move(on_gone);
  }

  void Leave() {
    std::function<void()> on_gone;
    {
      const std::lock_guard lock(mutex_);
      gone_ = true;
      on_gone = on_gone_;
    }
    if (on_gone) {
      on_gone();
    }
  }
  // The response, its body whole.
  http::Response Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return n_ends_ > 0; }))
        << "no answer";
    EXPECT_EQ(n_ends_, 1);
    http::Response response = response_;
    response.body = body_;
    return response;
  }
  [[nodiscard]] bool aborted() const { return aborted_; }

 private:
  void Over() {
    ++n_ends_;
    changed_.notify_all();
  }

  const http::Request request_;
  std::mutex mutex_;
  std::condition_variable changed_;
  http::Response response_;
  std::string body_;
  std::string keep_alive_;
  std::function<void()> on_gone_;
  bool gone_ = false;
  bool aborted_ = false;
  int n_ends_ = 0;
};

// One model that is there.
class OneModel final : public Models {
 public:
  explicit OneModel(std::shared_ptr<engine::Service> service) : service_(std::move(service)) {}

  [[nodiscard]] std::vector<ModelListing> List() const override {
    return {
        {.name = service_->summary().name,
         .file_bytes = service_->summary().file_bytes,
         .created = 1'700'000'000,
         .state = {.loaded = true, .failed = false, .progress = {}, .error = {}, .message = {}}}};
  }
  void Use(const std::string& name, UseFn then) override {
    if (name.empty() || name == service_->summary().name) {
      then(service_);
    } else {
      then(tl::make_unexpected(api::ApiError{.status = 404,
                                             .message = "there is no such model",
                                             .code = "model_not_found",
                                             .param = "model"}));
    }
  }
  void Unload(const std::string& /*name*/) override {}
  [[nodiscard]] std::vector<std::shared_ptr<engine::Service>> Loaded() const override {
    return {service_};
  }
  [[nodiscard]] uint64_t line() const override { return service_->ledger().budget_bytes; }
  [[nodiscard]] uint64_t least_line() const override { return service_->LeastLine(); }
  [[nodiscard]] Result<> SetLine(uint64_t bytes) override { return service_->SetLine(bytes); }
  void Drain(std::chrono::steady_clock::time_point deadline) override { service_->Drain(deadline); }

 private:
  std::shared_ptr<engine::Service> service_;
};

class TestServer {
 public:
  explicit TestServer(const engine::ServiceOptions& options = {.n_parallel = 2},
                      const kv::Precision& kv = {},
                      const kv::policy::PolicyOptions& kv_policy = {}) {
    auto engine = engine::Engine::Load({.n_ctx = 512,
                                        .n_parallel = options.n_parallel,
                                        .n_threads = 1,
                                        .kv = kv,
                                        .kv_policy = kv_policy},
                                       {});
    service_ = engine::StartService(std::move(*engine), options).value();
    auto serving = std::make_shared<Serving>();
    serving->models = std::make_shared<OneModel>(service_);
    serving->version = "1.2.3";
    serving->n_parallel = options.n_parallel;
    router_ = MakeRoutes(serving);
  }

  [[nodiscard]] engine::Service& service() const { return *service_; }
  [[nodiscard]] const http::Router& router() const { return router_; }

  // The request is under way when this returns.
  std::shared_ptr<TestExchange> Start(std::string method, std::string path, std::string body = "") {
    const auto match = router_.Find(method, path);
    EXPECT_NE(match.route, nullptr) << method << " " << path;
    auto exchange = std::make_shared<TestExchange>(http::Request{.method = std::move(method),
                                                                 .path = std::move(path),
                                                                 .query = {},
                                                                 .headers = {},
                                                                 .body = std::move(body),
                                                                 .id = "test"});
    if (match.route != nullptr) {
      match.route->handler(exchange);
    }
    return exchange;
  }
  http::Response Ask(std::string method, std::string path, std::string body = "") {
    return Start(std::move(method), std::move(path), std::move(body))->Wait();
  }

 private:
  std::shared_ptr<engine::Service> service_;
  http::Router router_;
};

}  // namespace plimsoll::server
