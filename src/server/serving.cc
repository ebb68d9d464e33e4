#include "server/serving.h"

#include <chrono>
#include <random>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace plimsoll::server {
namespace {

// Names in a line of the log: more are counted.
constexpr size_t kMaxNamed = 8;

std::string UniqueText() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}", device(), device(), device());
}

api::ReplyIdentity IdentityOf(const Serving& serving, const engine::Service& service,
                              const std::string& model) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.unique = UniqueText(),
          .created = std::chrono::duration_cast<std::chrono::seconds>(now).count(),
          .model = model.empty() ? service.summary().name : model,
          .fingerprint = fmt::format("plimsoll-{}", serving.version)};
}

}  // namespace

std::shared_ptr<RequestTimes> TimesByModel::Of(const std::string& model) {
  const std::lock_guard lock(mutex_);
  auto& times = times_[model];
  if (times == nullptr) {
    times = std::make_shared<RequestTimes>();
  }
  return times;
}

void LogUnknown(const Serving& serving, const http::Exchange& exchange,
                const std::vector<std::string>& unknown) {
  if (unknown.empty() || !serving.log) {
    return;
  }
  const size_t n = std::min(unknown.size(), kMaxNamed);
  const auto named =
      std::vector<std::string>(unknown.begin(), unknown.begin() + static_cast<ptrdiff_t>(n));
  serving.log(
      fmt::format("{}: members of the request that have no meaning here: {}{}",
                  exchange.request().id, fmt::join(named, ", "),
                  unknown.size() > n ? fmt::format(" and {} more", unknown.size() - n) : ""));
}

void AnswerLater(const api::TaskRequest& request, http::Exchange& exchange) {
  const auto writer = request.make_reply({});
  exchange.AnswerLater({.content_type = writer->content_type()}, writer->keep_alive());
}

void RunRequest(const ServingPtr& serving, api::TaskRequest request, ErrorFn error_response,
                std::shared_ptr<http::Exchange> exchange) {
  LogUnknown(*serving, *exchange, request.unknown);
  AnswerLater(request, *exchange);
  const std::string model = request.task.model;
  serving->models->Use(model, [serving, request = std::move(request), error_response, exchange](
                                  api::ApiResult<std::shared_ptr<engine::Service>> used) mutable {
    if (!used) {
      if (request.task.stream && exchange->has_begun()) {
        const auto writer =
            request.make_reply({.unique = UniqueText(), .model = request.task.model});
        api::RespondWithError(*writer, used.error(), *exchange, true);
      } else {
        exchange->Respond(error_response(used.error()));
      }
      return;
    }
    const engine::Service& service = **used;
    api::RunTaskOptions options = serving->run_task;
    options.grammars = serving->grammars->Of(*used);
    if (serving->prefix_keys != nullptr) {
      options.prefix_owner = serving->prefix_keys->NameOf(exchange->request());
    }
    options.on_end = [times = serving->times->Of(service.summary().name)](
                         const engine::GenerationEnd& end) { times->Observe(end); };
    auto writer = request.make_reply(IdentityOf(*serving, service, request.task.model));
    api::RunTask(*std::move(used), std::move(request.task), std::move(writer), std::move(exchange),
                 options);
  });
}

http::Handler TaskHandler(ServingPtr serving, ParseFn parse, ErrorFn error_response) {
  return [serving = std::move(serving), parse,
          error_response](std::shared_ptr<http::Exchange> exchange) {
    auto request = parse(exchange->request().body);
    if (!request) {
      exchange->Respond(error_response(request.error()));
      return;
    }
    RunRequest(serving, *std::move(request), error_response, std::move(exchange));
  };
}

}  // namespace plimsoll::server
