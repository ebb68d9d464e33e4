#include "cli/serve.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <future>
#include <memory>
#include <ostream>
#include <thread>
#include <utility>

#include <poll.h>

#include "cli/line_keeper.h"
#include "cli/progress.h"
#include "cli/serve_models.h"
#include "cli/serve_options.h"
#include "engine/order/order_policy.h"
#include "engine/service.h"
#include "server/health.h"
#include "server/http/api_keys.h"
#include "server/http/http_server.h"
#include "server/refusals.h"
#include "server/server.h"

namespace plimsoll::cli {
namespace {

using Clock = std::chrono::steady_clock;
using server::Health;
using server::ModelSet;
using server::http::HttpServer;
using server::http::Router;

struct ServeFlags {
  EngineFlags engine;
  ServeModelFlags models;
  HttpFlags http;
  engine::ServiceOptions service;
  std::optional<std::string> model;  // the argument
  std::optional<SizeSpec> memory_floor;
  float drain_seconds = 30;
  uint32_t max_step_seconds = 600;
  bool no_prefix_cache = false;
  bool share_prefixes = false;
  std::string prefix_log;
  std::optional<SizeSpec> kv_disk;
  std::string kv_disk_dir;
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
  line.Option("--scheduling-policy", "NAME",
              fmt::format("which of those that wait goes first: {} (default fcfs)",
                          fmt::join(engine::order::OrderPolicyNames(), ", ")),
              [&flags](const std::string& value) -> Result<> {
                auto made = engine::order::MakeOrderPolicy(value);
                flags.service.order = value;
                return made ? Result<>() : Result<>(Forward(made));
              });
  line.Integer("--max-order-seconds",
               "after which a request goes first, whatever the policy (default 300)",
               flags.service.max_order_seconds, 1, kDay);
  line.Integer("--max-still-seconds",
               "that expert-union lets an answer stand still for others (default 30)",
               flags.service.max_still_seconds, 1, kDay);
  line.Integer("--max-request-seconds", "of a request, from its arrival to its end (default 3600)",
               flags.service.max_seconds, 1, kDay);
  line.Integer("--max-paused-seconds", "that a request waits for its reader (default 60)",
               flags.service.max_paused_seconds, 1, kDay);
  line.Flag("--no-prefix-cache,--no-cache-prompt",
            "compute every prompt, also what another began with", flags.no_prefix_cache);
  line.Flag("--share-prefixes", "what one API key's prompts begin with, others find in memory too",
            flags.share_prefixes);
  line.Option("--prefix-eviction", "HOW",
              "what leaves the prefix cache first: price (what costs least to lose), or recency",
              [&flags](const std::string& value) -> Result<> {
                if (value != "price" && value != "recency") {
                  return Fail(ErrorKind::kUsage, "\"{}\" is neither price nor recency", value);
                }
                flags.service.evict_by_recency = value == "recency";
                return {};
              });
  line.Text("--prefix-log", "FILE", "what leaves the prefix cache, for plimsoll trace check",
            flags.prefix_log);
  line.Option(
      "--kv-disk", "SIZE",
      "keep those under policy full on a disk too, also for the next run: 20G (default: none)",
      [&flags](const std::string& value) -> Result<> {
        auto size = ParseSize(value);
        if (!size) {
          return Forward(size);
        }
        flags.kv_disk = *size;
        return {};
      });
  line.Text("--kv-disk-dir", "FOLDER", "where (default: kv in the cache folder of this user)",
            flags.kv_disk_dir);
  line.Integer("--max-step-seconds", "after which /livez says that it is stuck (default 600)",
               flags.max_step_seconds, 1, kDay);
  line.Real("--drain-seconds", "for requests to end after SIGTERM (default 30)",
            flags.drain_seconds);
  AddServeModelOptions(line, flags.models);
  line.Topic("Machine");
  AddMachineOptions(line, flags.engine);
  AddMemoryFloor(line, flags.memory_floor);
  line.Positional("MODEL", "the same as -m MODEL", flags.model);
  line.Topic("Output");
  AddOutputOptions(line, flags.engine);
}

// Where keys and values are kept on a disk, if they are.
Result<> SettleKvDisk(ServeFlags& flags) {
  if (!flags.kv_disk) {
    return flags.kv_disk_dir.empty()
               ? Result<>()
               : Fail(ErrorKind::kUsage,
                      "--kv-disk-dir needs --kv-disk SIZE: how much to keep there");
  }
  if (flags.kv_disk->percent > 0) {
    return Fail(ErrorKind::kUsage, "--kv-disk wants a size such as 20G, not a share");
  }
  if (flags.kv_disk->bytes > 0 && flags.no_prefix_cache) {
    return Fail(ErrorKind::kUsage, "--kv-disk keeps what --no-prefix-cache does without");
  }
  engine::KvDiskOptions& disk = flags.engine.engine.kv_disk;
  disk.folder = flags.kv_disk_dir;
  if (disk.folder.empty()) {
    disk.folder = engine::ProfileFolderOfUser();
    if (disk.folder.empty()) {
      return Fail(ErrorKind::kUsage, "there is no cache folder of this user: name --kv-disk-dir");
    }
    disk.folder /= "kv";
  }
  disk.bytes = disk.folder_bytes = flags.kv_disk->bytes;
  return {};
}

Result<> Check(ServeFlags& flags, bool err_is_terminal) {
  if (flags.model) {
    flags.models.models.insert(flags.models.models.begin(), *flags.model);
  }
  if (!(flags.drain_seconds >= 0 && flags.drain_seconds <= 86400)) {
    return Fail(ErrorKind::kUsage, "--drain-seconds: {} is not between 0 and 86400",
                flags.drain_seconds);
  }
  flags.service.prefix_cache = !flags.no_prefix_cache;
  flags.service.prefix_log = flags.prefix_log;
  if (flags.service.evict_by_recency && !flags.prefix_log.empty()) {
    return Fail(ErrorKind::kUsage,
                "--prefix-log has prices, which --prefix-eviction recency has not");
  }
  if (auto settled = SettleKvDisk(flags); !settled) {
    return settled;
  }
  return FinishHttpOptions(flags.http, err_is_terminal);
}

// Loads the first model, and shows how far it is.
Result<> LoadFirst(ModelSet& models, const ServeFlags& flags, const Console& console,
                   Health& health) {
  auto promise = std::make_shared<std::promise<Result<>>>();
  auto loaded = promise->get_future();
  models.Use("", [promise](server::api::ApiResult<std::shared_ptr<engine::Service>> used) {
    promise->set_value(used ? Result<>() : Fail(ErrorKind::kFailed, "{}", used.error().message));
  });
  Progress progress(models.List().front().name, console.err_is_terminal);
  while (loaded.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready) {
    const engine::LoadProgress at = models.List().front().state.progress;
    health.SetProgress(at);
    if (!flags.engine.quiet && at.bytes_total > 0) {
      console.err << progress.Update(at.bytes_done, at.bytes_total, SecondsNow()) << std::flush;
    }
  }
  console.err << progress.Clear() << std::flush;
  auto outcome = loaded.get();
  const server::LoadState state = models.List().front().state;
  if (state.failed && state.error == ErrorKind::kDoesNotFit) {
    return Fail(state.error, "{}\nof the line of {} connections have {} (--max-connection-memory)",
                state.message, FormatBytes(models.line()), FormatBytes(models.kept_bytes()));
  }
  return state.failed ? Fail(state.error, "{}", state.message) : outcome;
}

Router ReadyRoutes(const std::shared_ptr<Health>& health, const server::ServingPtr& serving) {
  Router router = server::MakeRoutes(serving);
  AddHealthRoutes(router, health);
  return router;
}

// Those whose prompts share no keys and values; null without any.
std::shared_ptr<const server::http::ApiKeys> KeysThatPart(const std::vector<std::string>& keys) {
  if (keys.empty()) {
    return nullptr;
  }
  auto known = std::make_shared<server::http::ApiKeys>();
  for (const std::string& key : keys) {
    static_cast<void>(known->Add(key));  // the HTTP server refuses a bad one
  }
  return known;
}

server::ServingPtr Serve(const std::shared_ptr<ModelSet>& models, const HttpServer& http,
                         const ServeFlags& flags, const Console& console) {
  auto serving = std::make_shared<server::Serving>();
  serving->models = models;
  serving->version = PLIMSOLL_VERSION;
  serving->n_parallel = flags.service.n_parallel;
  serving->run_task.max_unsent_bytes = flags.http.http.limits.max_unsent_bytes;
  if (!flags.share_prefixes) {
    serving->prefix_keys = KeysThatPart(flags.http.http.api_keys);
  }
  serving->connections = [&http] { return http.stats(); };
  if (!flags.engine.quiet) {
    serving->log = [&err = console.err](std::string_view line) {
      err << fmt::format("{}\n", line) << std::flush;
    };
  }
  return serving;
}

// Of the model that has been at its present step for longest.
double SecondsSinceStep(const ModelSet& models) {
  double longest = 0;
  for (const auto& service : models.Loaded()) {
    longest = std::max(longest, service->Snapshot().seconds_since_step);
  }
  return longest;
}

std::optional<std::string> ReadTroubleOf(const ModelSet& models) {
  for (const auto& service : models.Loaded()) {
    if (auto trouble = service->read_trouble()) {
      return trouble;
    }
  }
  return std::nullopt;
}

// What --memory means as the machine is now: with one model as that sees it.
uint64_t LineFor(const ModelSet& models, const std::optional<SizeSpec>& memory) {
  const auto loaded = models.Loaded();
  if (loaded.size() == 1 && models.List().size() == 1) {
    return loaded.front()->LineFor(memory);
  }
  if (memory) {
    return memory->Resolve(models.List().front().file_bytes);
  }
  uint64_t held = 0;
  for (const auto& service : loaded) {
    held += service->ledger().reserved_bytes;
  }
  return io::DefaultMemoryLine(io::ReadMemoryFacts(), std::min(held, io::ResidentMemory()));
}

// Of the only model there is; several can be unloaded, so that all of the line can be given back.
uint64_t Reserved(const ModelSet& models) {
  const auto loaded = models.Loaded();
  return loaded.size() == 1 && models.List().size() == 1
             ? loaded.front()->ledger().reserved_bytes + models.kept_bytes()
             : models.line();
}

engine::LineTarget LineOf(ModelSet& models) {
  return {.line = [&models] { return models.line(); },
          .reserved = [&models] { return Reserved(models); },
          .least = [&models] { return models.least_line(); },
          .line_for = [&models](const auto& memory) { return LineFor(models, memory); },
          .set_line = [&models](uint64_t bytes) { return models.SetLine(bytes); }};
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

void SayReady(const HttpServer& http, const ModelSet& models, const Console& console) {
  std::string names;
  for (const server::ModelListing& model : models.List()) {
    names += (names.empty() ? "" : ", ") + TerminalSafe(model.name);
  }
  std::string addresses;
  for (const std::string& address : http.addresses()) {
    addresses += (addresses.empty() ? "" : ", ") + address;
  }
  console.err << fmt::format("serving {} within {} on {}\n", names, FormatBytes(models.line()),
                             addresses)
              << std::flush;
}

// Requests end by themselves until the deadline, or until somebody is in a hurry; the rest is told
// that the server stops, and has a moment to hear it.
void Drain(HttpServer& http, ModelSet& models, Health& health, const ServeFlags& flags,
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
  models.Drain(Clock::now());
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
  if (auto checked = Check(flags, context.console.err_is_terminal); !checked) {
    return checked;
  }
  std::vector<std::string> notes;
  auto served = FindServedModels(flags.models, flags.engine, context, notes);
  if (!served) {
    return Forward(served);
  }
  for (const std::string& note : notes) {
    context.console.err << TerminalSafe(note) << "\n" << std::flush;
  }
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the log may go
  const auto health = std::make_shared<Health>();
  std::optional<uint64_t> connection_bytes;
  if (line.OriginOf("--max-connection-memory") != CommandLine::Origin::kBuiltIn) {
    connection_bytes = flags.http.http.limits.max_memory_bytes;
  }
  auto made = MakeModelSet(std::move(*served), flags.models, flags.engine, flags.service,
                           connection_bytes, context);
  if (!made) {
    return Forward(made);
  }
  const std::shared_ptr<ModelSet> models = std::move(*made);
  flags.http.http.limits.max_memory_bytes = models->kept_bytes();
  flags.http.http.error_body = server::RefusalBody;
  auto http = HttpServer::Start(flags.http.http, server::LoadingRoutes(health));
  if (!http) {
    return Forward(http);
  }
  if (context.interrupts == nullptr) {
    return Fail(ErrorKind::kFailed, "a server needs signals to end by");
  }
  context.interrupts->SetMode(Interrupts::Mode::kStart);
  // The models of a folder are loaded when somebody asks for them.
  if (!flags.models.models.empty() || flags.engine.models_dirs.empty()) {
    if (auto loaded = LoadFirst(*models, flags, context.console, *health); !loaded) {
      return loaded;
    }
  }
  context.interrupts->SetMode(Interrupts::Mode::kServe);
  (*http)->SetRouter(ReadyRoutes(health, Serve(models, **http, flags, context.console)));
  health->Watch([models] { return SecondsSinceStep(*models); }, flags.max_step_seconds);
  health->WatchDisk([models] { return ReadTroubleOf(*models); });
  health->SetState(Health::State::kReady);
  const auto keeper = KeepLine(LineOf(*models), context,
                               {.command = "serve",
                                .memory_origin = line.OriginOf("--memory"),
                                .floor = flags.memory_floor,
                                .quiet = flags.engine.quiet});
  if (!flags.engine.quiet) {
    SayReady(**http, *models, context.console);
  }
  WaitForEnd(*context.interrupts, *keeper, context.console);
  Drain(**http, *models, *health, flags, context);
  return {};
}

}  // namespace plimsoll::cli
