#include "cli/serve.h"

#include <chrono>
#include <cmath>
#include <csignal>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include <poll.h>

#include "cli/find_model.h"
#include "cli/line_keeper.h"
#include "cli/serve_options.h"
#include "engine/service.h"
#include "server/health.h"
#include "server/http/http_server.h"
#include "server/one_model.h"
#include "server/server.h"

namespace plimsoll::cli {
namespace {

using Clock = std::chrono::steady_clock;
using server::Health;
using server::http::HttpServer;
using server::http::Router;

struct ServeFlags {
  EngineFlags engine;
  HttpFlags http;
  engine::ServiceOptions service;
  std::optional<std::string> model;  // the argument
  float drain_seconds = 30;
  uint32_t max_step_seconds = 600;
};

void Declare(CommandLine& line, ServeFlags& flags) {
  AddHttpOptions(line, flags.http);
  line.Topic("Requests");
  line.Integer("-np,--parallel", "contexts for which there is always room (default 1)",
               flags.service.n_parallel, 1, 4096);
  constexpr uint32_t kDay = 86400;
  line.Integer("--max-running", "requests that are computed at a time (default 256)",
               flags.service.max_running, 1, 4096);
  line.Integer("--max-queue", "requests that wait; more are told to come again (default 256)",
               flags.service.max_queue, 1, 1'000'000);
  line.Integer("--max-queue-tokens", "of their prompts together (default 0: any)",
               flags.service.max_queue_tokens, 0, INT64_MAX);
  line.Integer("--max-queue-seconds", "that the last of them has to wait (default 300)",
               flags.service.max_queue_seconds, 1, kDay);
  line.Integer("--max-request-seconds", "of a request, from its arrival to its end (default 3600)",
               flags.service.max_seconds, 1, kDay);
  line.Integer("--max-paused-seconds", "that a request waits for its reader (default 60)",
               flags.service.max_paused_seconds, 1, kDay);
  line.Integer("--max-step-seconds", "after which /livez says that it is stuck (default 600)",
               flags.max_step_seconds, 1, kDay);
  line.Real("--drain-seconds", "for requests to end after SIGTERM (default 30)",
            flags.drain_seconds);
  AddEngineOptions(line, flags.engine);
  line.Positional("MODEL", "the same as -m MODEL", flags.model);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

Result<> Check(ServeFlags& flags, CommandLine::Origin model_origin, bool err_is_terminal) {
  if (flags.model) {
    if (model_origin == CommandLine::Origin::kArguments) {
      return Fail(ErrorKind::kUsage, "two models: {} and -m {}", *flags.model,
                  flags.engine.engine.model->string());
    }
    flags.engine.engine.model = *flags.model;
  }
  if (!(flags.drain_seconds >= 0 && flags.drain_seconds <= 86400)) {
    return Fail(ErrorKind::kUsage, "--drain-seconds: {} is not between 0 and 86400",
                flags.drain_seconds);
  }
  flags.engine.engine.n_parallel = flags.service.n_parallel;
  return FinishHttpOptions(flags.http, err_is_terminal);
}

Result<std::shared_ptr<engine::Service>> LoadService(const ServeFlags& flags,
                                                     const CommandContext& context,
                                                     Health& health) {
  const LoadFn load = [&](const engine::EngineOptions& options,
                          const engine::Engine::ProgressFn& on_progress) {
    return context.load(options, [&](const engine::LoadProgress& progress) {
      health.SetProgress(progress);
      on_progress(progress);
    });
  };
  auto engine = LoadEngine(load, flags.engine, context.console);
  if (!engine) {
    return Forward(engine);
  }
  return engine::StartService(std::move(*engine), flags.service);
}

Router ReadyRoutes(const std::shared_ptr<Health>& health, server::ServingPtr serving) {
  Router router = server::MakeRoutes(std::move(serving));
  AddHealthRoutes(router, health);
  return router;
}

server::ServingPtr Serve(const std::shared_ptr<engine::Service>& service, const HttpServer& http,
                         const ServeFlags& flags, const Console& console) {
  auto serving = std::make_shared<server::Serving>();
  serving->models = std::make_shared<server::OneModel>(service);
  serving->version = PLIMSOLL_VERSION;
  serving->run_task.max_unsent_bytes = flags.http.http.limits.max_unsent_bytes;
  serving->connections = [&http] { return http.stats(); };
  if (!flags.engine.quiet) {
    serving->log = [&err = console.err](std::string_view line) {
      err << fmt::format("{}\n", line) << std::flush;
    };
  }
  return serving;
}

std::unique_ptr<LineKeeper> KeepServiceLine(engine::Service& service, const CommandContext& context,
                                            CommandLine::Origin origin, bool quiet) {
  if (context.interrupts == nullptr) {
    return nullptr;
  }
  context.interrupts->CatchHangups();
  return std::make_unique<LineKeeper>(LineKeeper::Setup{
      .target = {.line = [&service] { return service.ledger().budget_bytes; },
                 .line_for = [&service](const auto& memory) { return service.LineFor(memory); },
                 .set_line = [&service](uint64_t bytes) { return service.SetLine(bytes); }},
      .take_hangup = [interrupts = context.interrupts] { return interrupts->TakeHangup(); },
      .read_again = [&context, origin] { return ReadMemorySetting(context, "serve", origin); },
      .yield = std::nullopt,
      .quiet = quiet});
}

// Until somebody wants the server to end.
void WaitForEnd(Interrupts& interrupts, LineKeeper& keeper, const Console& console) {
  while (!interrupts.raised()) {
    pollfd wake = {.fd = interrupts.wake_fd(), .events = POLLIN, .revents = 0};
    (void)::poll(&wake, 1, 250);
    if (const std::string said = keeper.Tend(); !said.empty()) {
      console.err << said << std::flush;
    }
  }
}

void SayReady(const HttpServer& http, const engine::Service& service, const Console& console) {
  const engine::ModelSummary& summary = service.summary();
  std::string addresses;
  for (const std::string& address : http.addresses()) {
    addresses += (addresses.empty() ? "" : ", ") + address;
  }
  console.err << fmt::format("serving {} ({} tokens of context) within {} on {}\n", summary.name,
                             summary.n_ctx, FormatBytes(service.ledger().budget_bytes), addresses)
              << std::flush;
}

// Requests end by themselves until the deadline, or until somebody is in a hurry; the rest is told
// that the server stops, and has a moment to hear it.
void Drain(HttpServer& http, engine::Service& service, Health& health, const ServeFlags& flags,
           const CommandContext& context) {
  constexpr auto kLastWords = std::chrono::seconds(2);
  Interrupts& interrupts = *context.interrupts;
  health.SetState(Health::State::kDraining);
  const auto is_hurried = [&interrupts] { return interrupts.n_raised() > 1; };
  const auto deadline =
      Clock::now() + std::chrono::milliseconds(std::lround(flags.drain_seconds * 1000));
  if (!flags.engine.quiet && http.stats().active_requests > 0) {
    context.console.err << fmt::format(
                               "stopping: {} requests have {:.0f} seconds to end; once more ends "
                               "them now\n",
                               http.stats().active_requests, flags.drain_seconds)
                        << std::flush;
  }
  http.StopAccepting();
  while (http.stats().active_connections > 0 && Clock::now() < deadline && !is_hurried()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  service.Drain(Clock::now());
  (void)http.Drain(Clock::now() + (is_hurried() ? kLastWords / 4 : kLastWords), {});
}

}  // namespace

Result<> ServeCommand(std::vector<std::string> args, const CommandContext& context) {
  ServeFlags flags;
  CommandLine line("serve", "Answer programs over HTTP, as OpenAI's API.",
                   "plimsoll serve [options] [MODEL]");
  Declare(line, flags);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (auto checked = Check(flags, line.OriginOf("--model"), context.console.err_is_terminal);
      !checked) {
    return checked;
  }
  if (auto found = FindModel(flags.engine, context); !found) {
    return found;
  }
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the log may go
  const auto health = std::make_shared<Health>();
  auto http = HttpServer::Start(flags.http.http, server::LoadingRoutes(health));
  if (!http) {
    return Forward(http);
  }
  if (context.interrupts == nullptr) {
    return Fail(ErrorKind::kFailed, "a server needs signals to end by");
  }
  context.interrupts->SetMode(Interrupts::Mode::kStart);
  auto service = LoadService(flags, context, *health);
  if (!service) {
    return Forward(service);
  }
  context.interrupts->SetMode(Interrupts::Mode::kServe);
  (*http)->SetRouter(ReadyRoutes(health, Serve(*service, **http, flags, context.console)));
  health->Watch([service = *service] { return service->Snapshot().seconds_since_step; },
                flags.max_step_seconds);
  health->SetState(Health::State::kReady);
  const auto keeper =
      KeepServiceLine(**service, context, line.OriginOf("--memory"), flags.engine.quiet);
  if (!flags.engine.quiet) {
    SayReady(**http, **service, context.console);
  }
  WaitForEnd(*context.interrupts, *keeper, context.console);
  Drain(**http, **service, *health, flags, context);
  return {};
}

}  // namespace plimsoll::cli
