#include "server/api/run_task.h"

#include <chrono>
#include <mutex>
#include <random>
#include <utility>

#include "server/api/answer_grammars.h"
#include "server/api/output/output_splitter.h"
#include "server/api/prepare_task.h"
#include "server/api/retry_headers.h"
#include "server/api/service_errors.h"

namespace plimsoll::server::api {
namespace {

using Clock = std::chrono::steady_clock;

uint64_t DrawSeed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// What a request is while it runs. Sinks of its choices call it from the engine's thread.
class TaskRun final : public std::enable_shared_from_this<TaskRun> {
 public:
  TaskRun(std::shared_ptr<engine::Service> service, Task task, std::unique_ptr<ReplyWriter> writer,
          std::shared_ptr<http::Exchange> exchange, const RunTaskOptions& options)
      : service_(std::move(service)),
        task_(std::move(task)),
        writer_(std::move(writer)),
        exchange_(std::move(exchange)),
        options_(options),
        grammars_(options.grammars != nullptr
                      ? options.grammars
                      : std::make_shared<AnswerGrammars>(service_->tokenizer())) {}

  void Start();

  void OnPrompt(uint32_t n_done, uint32_t n_prompt);
  void OnText(uint32_t choice, std::string_view text,
              std::span<const engine::GeneratedToken> tokens);
  void OnEnd(uint32_t choice, const engine::GenerationEnd& end);
  [[nodiscard]] bool HasRoom() const {
    return !task_.stream || exchange_->unsent_bytes() < options_.max_unsent_bytes;
  }

 private:
  struct Choice {
    std::optional<output::OutputSplitter> splitter;  // nothing: all is text
    bool has_all = false;                            // the rest of its text does not matter
    std::string echo;
    bool first_of_prompt = false;
  };

  // With the lock held, as all below.
  [[nodiscard]] ApiResult<> Submit(PreparedTask prepared);
  [[nodiscard]] ApiResult<> SubmitChoice(const PreparedTask& prepared, uint32_t index);
  [[nodiscard]] TokenReport Report(const engine::GeneratedToken& token) const;
  void Tell(const std::vector<Event>& events);
  void Tell(const Event& event) { Send(writer_->Write(event)); }
  void Send(std::string bytes);
  void Fail(const ApiError& error);
  void Complete();
  void CancelAll();

  const std::shared_ptr<engine::Service> service_;
  const Task task_;
  const std::unique_ptr<ReplyWriter> writer_;
  const std::shared_ptr<http::Exchange> exchange_;
  const RunTaskOptions options_;
  const std::shared_ptr<AnswerGrammars> grammars_;
  const Clock::time_point arrived_ = Clock::now();

  std::mutex mutex_;
  std::vector<engine::RequestId> ids_;  // constant once it is started
  std::vector<Choice> choices_;
  bool shows_control_ = false;
  size_t n_open_ = 0;
  std::optional<uint32_t> n_cached_;
  Usage usage_;
  std::string body_;  // of a reply that is not streamed
  bool over_ = false;
};

class ChoiceSink final : public engine::GenerationSink {
 public:
  ChoiceSink(std::shared_ptr<TaskRun> run, uint32_t choice)
      : run_(std::move(run)), choice_(choice) {}

  void OnPrompt(uint32_t n_done, uint32_t n_prompt) override {
    if (choice_ == 0) {
      run_->OnPrompt(n_done, n_prompt);
    }
  }
  void OnText(std::string_view text, std::span<const engine::GeneratedToken> tokens) override {
    run_->OnText(choice_, text, tokens);
  }
  void OnEnd(const engine::GenerationEnd& end) override { run_->OnEnd(choice_, end); }
  [[nodiscard]] bool HasRoom() const override { return run_->HasRoom(); }

 private:
  const std::shared_ptr<TaskRun> run_;
  const uint32_t choice_;
};

void TaskRun::Start() {
  auto prepared = PrepareTask(*service_, task_);
  {
    const std::lock_guard lock(mutex_);
    ApiResult<> submitted;
    if (prepared) {
      submitted = Submit(*std::move(prepared));
    } else {
      submitted = tl::make_unexpected(std::move(prepared).error());
    }
    if (!submitted) {
      over_ = true;
      CancelAll();
      RespondWithError(*writer_, submitted.error(), *exchange_, task_.stream);
      return;
    }
    if (task_.stream) {
      exchange_->Begin({.content_type = writer_->content_type()}, writer_->keep_alive());
      Send(writer_->Start());
    }
    for (uint32_t i = 0; i < choices_.size(); ++i) {
      if (!choices_[i].echo.empty()) {
        Tell(TextEvent{.choice = i, .text = choices_[i].echo, .tokens = {}});
      }
    }
  }
  // The ids are constant from here on. A reference of the task's own would keep the exchange that
  // keeps it.
  exchange_->OnGone([weak = weak_from_this()] {
    if (const auto run = weak.lock()) {
      run->CancelAll();
    }
  });
}

ApiResult<> TaskRun::Submit(PreparedTask prepared) {
  const uint32_t n_ctx = service_->summary().n_ctx;
  for (const PreparedPrompt& prompt : prepared.prompts) {
    if (prompt.tokens.size() >= n_ctx) {
      ApiError error = ContextLengthError(prompt.tokens.size(), n_ctx);
      error.param = prepared.splitting ? "messages" : "prompt";
      return tl::make_unexpected(std::move(error));
    }
  }
  for (const PreparedPrompt& prompt : prepared.prompts) {
    for (uint32_t i = 0; i < task_.n; ++i) {
      Choice choice;
      choice.first_of_prompt = i == 0;
      choice.echo = prompt.echo;
      if (prepared.splitting) {
        prepared.splitting->choice = static_cast<uint32_t>(choices_.size());
        prepared.splitting->id_seed = DrawSeed();
        choice.splitter.emplace(*prepared.splitting);
        choice.splitter->Prime(prepared.opening);
      }
      choices_.push_back(std::move(choice));
    }
  }
  n_open_ = choices_.size();
  shows_control_ = prepared.splitting && prepared.splitting->format.shows_control_tokens;
  for (uint32_t i = 0; i < choices_.size(); ++i) {
    if (auto submitted = SubmitChoice(prepared, i); !submitted) {
      return submitted;
    }
  }
  return {};
}

ApiResult<> TaskRun::SubmitChoice(const PreparedTask& prepared, uint32_t index) {
  engine::GenerationRequest request;
  request.prompt = prepared.prompts[index / task_.n].tokens;
  request.options = task_.options;
  request.options.show_control = shows_control_;
  if (prepared.form) {
    const bool at_start = !request.prompt.empty() &&
                          service_->tokenizer().Piece(request.prompt.back(), false).empty();
    auto filter = grammars_->Filter(*prepared.form, at_start);
    if (!filter) {
      return tl::make_unexpected(std::move(filter).error());
    }
    request.filter = *std::move(filter);
  }
  request.prefix_owner = options_.prefix_owner;
  if (!task_.cache_salt.empty()) {
    request.prefix_owner += ":" + task_.cache_salt;
  }
  request.n_top_logprobs = task_.n_top_logprobs;
  request.priority = task_.priority;
  request.kv_policy = task_.kv_policy;
  if (task_.seed_given) {
    request.options.sampling.seed = task_.options.sampling.seed + index % task_.n;
  } else {
    request.options.sampling.seed =
        options_.seed_of ? options_.seed_of(exchange_->request()) + index : DrawSeed();
  }
  if (const auto problem = service_->KvProblemOf(request)) {
    return tl::make_unexpected(KvPolicyError(*problem));
  }
  auto taken =
      service_->Submit(std::move(request), std::make_shared<ChoiceSink>(shared_from_this(), index));
  if (!taken) {
    return tl::make_unexpected(EngineError(taken.error()));
  }
  if (!*taken) {
    return tl::make_unexpected(OverloadError(taken->error()));
  }
  ids_.push_back(**taken);
  return {};
}

void TaskRun::OnPrompt(uint32_t n_done, uint32_t n_prompt) {
  const std::lock_guard lock(mutex_);
  if (over_ || !task_.report_progress) {
    return;
  }
  n_cached_ = n_cached_.value_or(n_done);  // the first report is of what was there
  Tell(PromptProgress{.n_total = n_prompt,
                      .n_cached = *n_cached_,
                      .n_processed = n_done,
                      .seconds = std::chrono::duration<double>(Clock::now() - arrived_).count()});
}

TokenReport TaskRun::Report(const engine::GeneratedToken& token) const {
  const text::Tokenizer& tokenizer = service_->tokenizer();
  TokenReport report;
  // As it stands in the text, which is cut where tokens end.
  report.token = {.text = std::string(tokenizer.Piece(token.token, shows_control_)),
                  .logprob = token.logprob};
  for (const engine::TokenLogprob& other : token.top) {
    report.top.push_back(
        {.text = std::string(tokenizer.Piece(other.token, true)), .logprob = other.logprob});
  }
  return report;
}

void TaskRun::OnText(uint32_t index, std::string_view text,
                     std::span<const engine::GeneratedToken> tokens) {
  const std::lock_guard lock(mutex_);
  if (over_) {
    return;
  }
  Choice& choice = choices_[index];
  const auto n_tokens = static_cast<uint32_t>(tokens.size());
  usage_.completion_tokens += n_tokens;
  if (choice.splitter && choice.splitter->in_reasoning()) {
    usage_.reasoning_tokens += n_tokens;
  }
  std::vector<TokenReport> reports;
  if (task_.n_top_logprobs) {
    for (const engine::GeneratedToken& token : tokens) {
      if (!service_->tokenizer().IsEndOfGeneration(token.token)) {
        reports.push_back(Report(token));
      }
    }
  }
  if (choice.splitter) {
    Tell(choice.splitter->Add(text, std::move(reports)));
    if (choice.splitter->done() && !choice.has_all && index < ids_.size()) {
      choice.has_all = true;
      service_->Cancel(ids_[index]);
    }
  } else if (!text.empty() || !reports.empty()) {
    Tell(TextEvent{.choice = index, .text = std::string(text), .tokens = std::move(reports)});
  }
}

void TaskRun::OnEnd(uint32_t index, const engine::GenerationEnd& end) {
  const std::lock_guard lock(mutex_);
  if (over_) {
    return;
  }
  if (end.error) {
    Fail(EngineError(*end.error));
    return;
  }
  if (end.reason == engine::FinishReason::kInterrupted && !choices_[index].has_all) {
    Fail(OverloadError({.limit = engine::Overload::Limit::kStopping, .retry_seconds = 5}));
    return;
  }
  if (options_.on_end) {
    options_.on_end(end);
  }
  Choice& choice = choices_[index];
  ChoiceEnd over = {.choice = index, .finish = Finish::kStop, .stop_string = end.stop_string};
  if (end.reason == engine::FinishReason::kStopString) {
    over.finish = Finish::kStopString;
  } else if (end.reason != engine::FinishReason::kEnd && !choice.has_all) {
    over.finish = Finish::kLength;
  }
  if (choice.splitter) {
    Tell(choice.splitter->Finish());
    if (choice.splitter->n_calls() > 0 && over.finish != Finish::kLength) {
      over.finish = Finish::kToolCalls;
    }
  }
  Tell(over);
  if (choice.first_of_prompt) {
    usage_.prompt_tokens += end.stats.n_prompt;
    usage_.cached_tokens += end.stats.n_prompt_reused;
  }
  usage_.queue_seconds = std::max(usage_.queue_seconds, end.queue_seconds);
  usage_.prefill_seconds = std::max(usage_.prefill_seconds, end.stats.prefill_seconds);
  usage_.decode_seconds = std::max(usage_.decode_seconds, end.stats.decode_seconds);
  if (--n_open_ == 0) {
    Complete();
  }
}

void TaskRun::Tell(const std::vector<Event>& events) {
  std::string bytes;
  for (const Event& event : events) {
    bytes += writer_->Write(event);
  }
  Send(std::move(bytes));
}

void TaskRun::Send(std::string bytes) {
  if (!task_.stream) {
    body_ += bytes;
  } else if (!bytes.empty() && !over_ && !exchange_->Send(std::move(bytes))) {
    over_ = true;
    CancelAll();
  }
}

void TaskRun::Complete() {
  usage_.total_seconds = std::chrono::duration<double>(Clock::now() - arrived_).count();
  if (const std::string& type = service_->summary().kv_type; type != "f16") {
    usage_.kv_type = type;
  }
  const std::string policy =
      task_.kv_policy ? task_.kv_policy->Text() : service_->summary().kv_policy;
  if (policy != "full") {
    usage_.kv_policy = policy;
  }
  Tell(TaskEnd{usage_});
  if (task_.stream) {
    exchange_->End();
  } else {
    exchange_->Respond({.content_type = writer_->content_type(), .body = std::move(body_)});
  }
  over_ = true;
}

// After this nothing more is told: sinks of other choices find it over.
void TaskRun::Fail(const ApiError& error) {
  if (task_.stream) {
    Tell(TaskFailed{error});
    exchange_->Abort();
  } else {
    RespondWithError(*writer_, error, *exchange_, false);
  }
  over_ = true;
  CancelAll();
}

void TaskRun::CancelAll() {
  for (const engine::RequestId id : ids_) {
    service_->Cancel(id);
  }
}

}  // namespace

void RespondWithError(ReplyWriter& writer, const ApiError& error, http::Exchange& exchange,
                      bool stream) {
  if (stream && exchange.has_begun()) {
    exchange.Begin({}, {});
    exchange.Send(writer.Start());
    exchange.Send(writer.Write(TaskFailed{error}));
    exchange.Abort();
    return;
  }
  exchange.Respond({.status = error.status,
                    .body = writer.Write(TaskFailed{error}),
                    .headers = RetryHeaders(error)});
}

void RunTask(std::shared_ptr<engine::Service> service, Task task,
             std::unique_ptr<ReplyWriter> writer, std::shared_ptr<http::Exchange> exchange,
             const RunTaskOptions& options) {
  std::make_shared<TaskRun>(std::move(service), std::move(task), std::move(writer),
                            std::move(exchange), options)
      ->Start();
}

}  // namespace plimsoll::server::api
