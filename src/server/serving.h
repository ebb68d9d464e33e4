// What the routes of a server share.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "server/api/answer_grammars.h"
#include "server/api/api_error.h"
#include "server/api/run_task.h"
#include "server/api/task_request.h"
#include "server/http/api_keys.h"
#include "server/http/limits.h"
#include "server/http/router.h"
#include "server/models.h"
#include "server/request_times.h"

namespace plimsoll::server {

// Of each model that has answered; they stay when it is unloaded. Thread-safe.
class TimesByModel {
 public:
  [[nodiscard]] std::shared_ptr<RequestTimes> Of(const std::string& model);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<RequestTimes>> times_;
};

// Outlives the requests of its routes.
struct Serving {
  std::shared_ptr<Models> models;
  std::string version;      // of the program
  uint32_t n_parallel = 1;  // contexts of a model for which there is always room
  api::RunTaskOptions run_task;
  // Whose requests share the keys and values of prompts that begin alike: those that show the same
  // one of these keys. Null: all.
  std::shared_ptr<const http::ApiKeys> prefix_keys;
  // Asked for /metrics; may be empty.
  std::function<http::ConnectionStats()> connections;
  // A line for the log, such as members of requests that nobody knows; may be empty.
  std::function<void(std::string_view)> log;
  std::shared_ptr<api::GrammarsByModel> grammars = std::make_shared<api::GrammarsByModel>();
  std::shared_ptr<TimesByModel> times = std::make_shared<TimesByModel>();
};

using ServingPtr = std::shared_ptr<const Serving>;

// Loads the request's model if need be, and runs the task. `error_response` is the dialect's.
using ErrorFn = http::Response (*)(const api::ApiError&);
void RunRequest(const ServingPtr& serving, api::TaskRequest request, ErrorFn error_response,
                std::shared_ptr<http::Exchange> exchange);

// The handler of a route whose body `parse` makes a task of.
using ParseFn = api::ApiResult<api::TaskRequest> (*)(std::string_view body);
[[nodiscard]] http::Handler TaskHandler(ServingPtr serving, ParseFn parse, ErrorFn error_response);

// Lets the client wait for the model, which may have to be loaded, and for what it says.
void AnswerLater(const api::TaskRequest& request, http::Exchange& exchange);

// A handler that needs a model and answers at once: `answer(service, exchange)` gives a Response or
// an ApiError.
template <class F>
void WithModel(const ServingPtr& serving, const std::string& model, ErrorFn error_response,
               std::shared_ptr<http::Exchange> exchange, F answer) {
  exchange->AnswerLater({}, " ");
  serving->models->Use(
      model, [exchange = std::move(exchange), error_response,
              answer = std::move(answer)](api::ApiResult<std::shared_ptr<engine::Service>> used) {
        if (!used) {
          exchange->Respond(error_response(used.error()));
          return;
        }
        api::ApiResult<http::Response> response = answer(**used);
        exchange->Respond(response ? *std::move(response) : error_response(response.error()));
      });
}

// Tells of members that a request has and nobody knows.
void LogUnknown(const Serving& serving, const http::Exchange& exchange,
                const std::vector<std::string>& unknown);

}  // namespace plimsoll::server
