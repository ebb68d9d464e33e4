// Tries the order of requests on arrivals, in virtual time (docs/scheduling.md).
//
//   simulate-serving [--n N] [--seed N] [--tokens N] [--gpu]   every order on every trace, as
//   tables simulate-serving --mooncake FILE [--divisor N] ...   the same on a trace of that form
//   simulate-serving --check                             whether the published claims hold; exit
//                                                        code 1 and the figures when they do not
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "engine/order/order_policy.h"
#include "sim/serving/served_run.h"

namespace plimsoll::sim {
namespace {

struct Flags {
  uint32_t n = 300;
  uint64_t seed = 1;
  uint32_t n_tokens = 8192;
  std::string mooncake;
  uint32_t divisor = 1;
  bool gpu = false;
  bool check = false;
};

void PrintHead(std::string_view trace, const ServeReport& any) {
  fmt::print("\n**{}**: {} requests, {} too long, {:.0f} prompt tokens each\n\n", trace,
             any.n_served, any.n_too_long,
             static_cast<double>(any.prompt_tokens) / std::max(any.n_served, 1U));
  fmt::print(
      "| Order | Lengths | Mean s | P95 s | P99 s | First token s | P95 s | s/token | tokens/s | "
      "Preempted | Prompt shared |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
}

void PrintRow(std::string_view order, std::string_view lengths, const ServeReport& r) {
  fmt::print(
      "| {} | {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.3f} | {:.1f} | {} | {:.0f} % "
      "|\n",
      order, lengths, r.mean, r.p95, r.p99, r.first_mean, r.first_p95, r.seconds_per_token,
      r.tokens_per_second, r.n_preempted,
      100 * static_cast<double>(r.prompt_tokens_reused) /
          static_cast<double>(std::max<uint64_t>(r.prompt_tokens, 1)));
}

// Whether an order looks at lengths, so that knowing them changes something.
bool LooksAtLengths(std::string_view order) {
  return (*engine::order::MakeOrderPolicy(order))->ExpectedOutput({}).has_value();
}

Result<> PrintTable(const Server& server, std::string_view name, const Arrivals& arrivals) {
  bool is_first = true;
  for (const std::string_view order : engine::order::OrderPolicyNames()) {
    for (const bool known : {true, false}) {
      // Whose experts are never paged here, and whose classes are all one.
      if (order == "expert-union" || order == "priority" || (known && !LooksAtLengths(order))) {
        continue;
      }
      auto report = server.Serve(arrivals, {.order = std::string(order), .lengths_known = known});
      if (!report) {
        return Forward(report);
      }
      if (is_first) {
        PrintHead(name, *report);
        is_first = false;
      }
      PrintRow(order, !LooksAtLengths(order) ? "" : known ? "known" : "predicted", *report);
    }
  }
  return {};
}

// At the machine's own pace.
Result<Arrivals> Arrive(std::string_view kind, const Flags& flags, const Server& server) {
  auto burst = MakeArrivals(kind, flags.seed, flags.n, 1);
  if (!burst) {
    return burst;
  }
  auto per_second = server.Capacity(*std::move(burst));
  if (!per_second) {
    return Forward(per_second);
  }
  return MakeArrivals(kind, flags.seed, flags.n, *per_second);
}

Result<> PrintTables(const Flags& flags, const Server& server) {
  if (!flags.mooncake.empty()) {
    auto arrivals = ReadMooncake(flags.mooncake, flags.n, flags.divisor);
    return arrivals ? PrintTable(server, flags.mooncake, *arrivals) : Result<>(Forward(arrivals));
  }
  for (const std::string_view kind : ArrivalKinds()) {
    auto arrivals = Arrive(kind, flags, server);
    if (!arrivals) {
      return Forward(arrivals);
    }
    if (auto printed = PrintTable(server, kind, *arrivals); !printed) {
      return printed;
    }
  }
  return {};
}

// Of SVF (arXiv 2606.22327): on mixed lengths its mean latency is below that of the order of
// arrival and of the shortest answer, with true and with learned lengths; one bit lies between.
// That is where memory is short, not arithmetic: on the machine with much of it, mean over seeds.
Result<bool> Check(Flags flags, const Server& server) {
  constexpr uint64_t kSeeds = 3;
  std::map<std::string, double> mean;
  for (const uint64_t last = flags.seed + kSeeds; flags.seed < last; ++flags.seed) {
    auto arrivals = Arrive("mixed", flags, server);
    if (!arrivals) {
      return Forward(arrivals);
    }
    for (const char* name : {"fcfs", "sjf", "svf", "svf-1bit"}) {
      for (const bool known : {true, false}) {
        const std::string order = name;
        if (known && !LooksAtLengths(order)) {
          continue;
        }
        auto report = server.Serve(*arrivals, {.order = order, .lengths_known = known});
        if (!report) {
          return Forward(report);
        }
        mean[order + (known ? " known" : " learned")] += report->mean / kSeeds;
      }
    }
  }
  for (const auto& [name, seconds] : mean) {
    fmt::print("{}: {:.2f} s\n", name, seconds);
  }
  bool holds = true;
  for (const char* lengths : {" known", " learned"}) {
    const auto of = [&](const char* order) { return mean[order + std::string(lengths)]; };
    const double fcfs = mean["fcfs learned"];
    holds = holds && of("svf") < of("sjf") && of("sjf") < fcfs && of("svf") <= of("svf-1bit") &&
            of("svf-1bit") < fcfs;
  }
  return holds;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Tries the order of requests on arrivals, in virtual time.");
  app.add_option("--n", flags.n, "requests of a trace")->check(CLI::Range(1, 1'000'000));
  app.add_option("--seed", flags.seed, "of the traces");
  app.add_option("--tokens", flags.n_tokens, "room for keys and values")
      ->check(CLI::Range(1024, 1 << 20));
  app.add_option("--mooncake", flags.mooncake, "a trace in Mooncake's form");
  app.add_option("--divisor", flags.divisor, "of its lengths and times")->check(CLI::Range(1, 512));
  app.add_flag("--gpu", flags.gpu, "a machine whose arithmetic is not short");
  app.add_flag("--check", flags.check, "whether the claims hold");
  CLI11_PARSE(app, argc, argv);
  const auto server = Server::Create(flags.gpu || flags.check ? OnASmallGpu(flags.n_tokens)
                                                              : OnTwoCores(flags.n_tokens));
  if (!server) {
    fmt::print(stderr, "{}\n", server.error().message);
    return 1;
  }
  if (flags.check) {
    const auto holds = Check(flags, **server);
    fmt::print(stderr, "{}", holds ? "" : holds.error().message + "\n");
    return holds && *holds ? 0 : 1;
  }
  const auto printed = PrintTables(flags, **server);
  fmt::print(stderr, "{}", printed ? "" : printed.error().message + "\n");
  return printed ? 0 : 1;
}

}  // namespace
}  // namespace plimsoll::sim

int main(int argc, char** argv) { return plimsoll::sim::Main(argc, argv); }
