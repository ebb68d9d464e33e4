#include "server/batch/run_batch.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/fnv.h"
#include "server/api/openai/replies.h"
#include "server/api/openai/requests.h"
#include "server/api/prepare_task.h"
#include "server/api/responses/requests.h"
#include "server/batch/batch_order.h"
#include "server/server.h"

namespace plimsoll::server::batch {
namespace {

constexpr double kUsualOutput = 256;  // tokens of an answer without a limit

struct Answer {
  size_t line = 0;
  http::Response response;
};

// Where answers come in, from the engine's thread.
class Inbox {
 public:
  void Put(Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
    has_some_.notify_all();
  }
  // All there are; waits for some, but not long.
  std::deque<Answer> Take() {
    std::unique_lock lock(mutex_);
    has_some_.wait_for(lock, std::chrono::milliseconds(100), [this] { return !answers_.empty(); });
    return std::exchange(answers_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable has_some_;
  std::deque<Answer> answers_;
};

class LineExchange final : public http::Exchange {
 public:
  LineExchange(size_t line, http::Request request, std::shared_ptr<Inbox> inbox)
      : line_(line), request_(std::move(request)), inbox_(std::move(inbox)) {}
  LineExchange(const LineExchange&) = delete;
  LineExchange& operator=(const LineExchange&) = delete;
  ~LineExchange() override {
    if (!answered_) {
      inbox_->Put({line_, api::openai::ErrorResponse({.status = 500,
                                                      .message = "the request was given up",
                                                      .type = "server_error"})});
    }
  }

  [[nodiscard]] const http::Request& request() const override { return request_; }
  void Respond(http::Response response) override {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(answered_, true)) {
      inbox_->Put({line_, std::move(response)});
    }
  }
  void Begin(http::Response /*head*/, std::string /*keep_alive*/) override {
    Respond(api::openai::ErrorResponse(
        {.message = "'stream' is not supported: the answers of a batch are whole",
         .code = "unsupported_value",
         .param = "stream"}));
  }
  bool Send(std::string /*part*/) override { return false; }
  void End() override {}
  void Abort() override {}
  [[nodiscard]] uint64_t unsent_bytes() const override { return 0; }
  void OnGone(std::function<void()> /*on_gone*/) override {}

 private:
  const size_t line_;
  const http::Request request_;
  const std::shared_ptr<Inbox> inbox_;
  std::mutex mutex_;
  bool answered_ = false;
};

bool IsStopped(const RunBatchOptions& options) {
  return options.is_stopped && options.is_stopped();
}

Result<std::shared_ptr<engine::Service>> FirstModel(Models& models) {
  auto promise = std::make_shared<std::promise<api::ApiResult<std::shared_ptr<engine::Service>>>>();
  auto used = promise->get_future();
  models.Use("", [promise](auto answer) { promise->set_value(std::move(answer)); });
  auto model = used.get();
  return model ? Result<std::shared_ptr<engine::Service>>(*std::move(model))
               : Fail(ErrorKind::kFailed, "{}", model.error().message);
}

// Nothing for what is no text, or is refused: that needs no place among the others.
std::optional<PromptShape> ShapeOfRequest(const engine::Service& service, const std::string& url,
                                          std::string_view body) {
  api::ApiResult<api::TaskRequest> request =
      url == "/v1/chat/completions" ? api::openai::ParseChatRequest(body)
      : url == "/v1/completions"    ? api::openai::ParseCompletionRequest(body)
      : url == "/v1/responses"
          ? api::responses::ParseResponsesRequest(body)
          : api::ApiResult<api::TaskRequest>(tl::make_unexpected(api::ApiError{}));
  if (!request) {
    return std::nullopt;
  }
  const auto prepared = api::PrepareTask(service, request->task);
  if (!prepared || prepared->prompts.empty()) {
    return std::nullopt;
  }
  const uint32_t n_predict = request->task.options.n_predict;
  return ShapeOf(prepared->prompts.front().tokens, n_predict == 0 ? kUsualOutput : n_predict);
}

// One run.
class Run {
 public:
  Run(const ServingPtr& serving, BatchInput& input, BatchOutput& output,
      const RunBatchOptions& options)
      : serving_(serving),
        router_(MakeRoutes(serving)),
        input_(input),
        output_(output),
        options_(options) {
    progress_.n_requests = input.lines().size();
  }

  Result<BatchProgress> Go() {
    auto order = Order();
    if (!order) {
      return Forward(order);
    }
    size_t next = 0;
    while (next < order->size() || n_open_ > 0) {
      while (next < order->size() && n_open_ < options_.max_waiting) {
        if (auto started = Start((*order)[next++]); !started) {
          return Forward(started);
        }
      }
      if (auto written = WriteAnswers(); !written) {
        return Forward(written);
      }
      if (IsStopped(options_)) {
        return Fail(ErrorKind::kInterrupted, "stopped; the same command goes on from here");
      }
    }
    return progress_;
  }

 private:
  // Lines that are not answered yet.
  Result<std::vector<size_t>> Order() {
    auto model = FirstModel(*serving_->models);
    if (!model) {
      return Forward(model);
    }
    std::vector<size_t> lines;
    std::vector<size_t> others;
    std::vector<PromptShape> shapes;
    for (size_t i = 0; i < input_.lines().size(); ++i) {
      if (IsStopped(options_)) {
        return Fail(ErrorKind::kInterrupted, "stopped; the same command goes on from here");
      }
      ++progress_.n_read;
      Tell();
      if (output_.answered().contains(input_.lines()[i].custom_id)) {
        ++progress_.n_earlier;
        ++progress_.n_done;
        continue;
      }
      auto body = input_.Body(i);
      if (!body) {
        return Forward(body);
      }
      if (auto shape = ShapeOfRequest(**model, input_.lines()[i].url, *body)) {
        lines.push_back(i);
        shapes.push_back(*std::move(shape));
      } else {
        others.push_back(i);
      }
    }
    std::vector<size_t> order;
    for (const size_t i : OrderByPrefix(shapes)) {
      order.push_back(lines[i]);
    }
    order.insert(order.end(), others.begin(), others.end());
    return order;
  }

  Result<> Start(size_t line) {
    auto body = input_.Body(line);
    if (!body) {
      return Forward(body);
    }
    const BatchInput::Line& at = input_.lines()[line];
    ++n_open_;
    auto exchange = std::make_shared<LineExchange>(line,
                                                   http::Request{.method = "POST",
                                                                 .path = at.url,
                                                                 .query = {},
                                                                 .headers = {},
                                                                 .body = *std::move(body),
                                                                 .id = at.custom_id},
                                                   inbox_);
    router_.Find("POST", at.url).route->handler(std::move(exchange));
    return {};
  }

  Result<> WriteAnswers() {
    for (const Answer& answer : inbox_->Take()) {
      --n_open_;
      const unsigned status = answer.response.status;
      if (status == 429) {  // not the request's fault: it can be tried again
        return Fail(
            ErrorKind::kFailed,
            "a request was not answered (status {}): {}\nthe same command goes on from here",
            status, answer.response.body);
      }
      if (auto written =
              output_.Append(input_.lines()[answer.line].custom_id, status, answer.response.body);
          !written) {
        return written;
      }
      ++progress_.n_done;
      progress_.n_refused += status == 200 ? 0U : 1U;
    }
    Tell();
    return {};
  }

  void Tell() const {
    if (options_.on_progress) {
      options_.on_progress(progress_);
    }
  }

  const ServingPtr serving_;
  const http::Router router_;
  BatchInput& input_;
  BatchOutput& output_;
  const RunBatchOptions& options_;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  BatchProgress progress_;
  size_t n_open_ = 0;
};

}  // namespace

Result<BatchProgress> RunBatch(const ServingPtr& serving, BatchInput& input, BatchOutput& output,
                               const RunBatchOptions& options) {
  return Run(serving, input, output, options).Go();
}

uint64_t SeedOfRequest(const http::Request& request) { return Fnv1a(request.id); }

}  // namespace plimsoll::server::batch
