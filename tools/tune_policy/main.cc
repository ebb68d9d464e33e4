// Fits the forecast policy leave-one-out: for each trace the weights are fitted to the others and
// judged on this one, beside the best decayed LFU that could have been fixed for it and Belady's
// optimum. Then come the weights fitted to all, which go into src/memory/policy/forecast.cc, and
// how good look-ahead by pairs of experts would have been.
//
//   tune-policy [--without FEATURE,...] [--horizon N] TRACE TRACE...
//
// FEATUREs are numbers from 1 in the order of ReuseFeature.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "memory/policy/forecast.h"
#include "memory/policy/lfu.h"
#include "memory/replay/belady.h"
#include "memory/replay/replay.h"
#include "memory/trace/trace_file.h"
#include "tools/tune_policy/fit.h"
#include "tools/tune_policy/guesses.h"

namespace plimsoll::tune_policy {
namespace {

using memory::policy::DecayedLfu;
using memory::policy::Forecast;
using memory::policy::ForecastWeights;
using memory::policy::Policy;
using memory::policy::Scope;
using memory::replay::Belady;
using memory::replay::PrefillAs;
using memory::replay::ReferenceStream;
using memory::replay::Replay;

constexpr double kShares[] = {0.06, 0.12, 0.25, 0.5};  // of the pages that have a slot
constexpr double kHalfLives[] = {2, 3, 4, 6, 8, 12, 16, 24, 32, 64};
constexpr uint32_t kStride = 3;

struct Options {
  uint32_t without = 0;
  uint32_t horizon = Forecast::kHorizon;
  std::vector<std::string> paths;
};

struct LoadedTrace {
  std::string name;
  ReferenceStream stream;
  Samples samples;
};

uint64_t DecodeMisses(const ReferenceStream& stream, Policy& policy, double share) {
  const auto n_slots = std::lround(share * stream.layout().n_pages());
  return Replay(stream, policy, static_cast<uint32_t>(n_slots)).decode.misses;
}

struct BestLfu {
  uint64_t misses = std::numeric_limits<uint64_t>::max();
  std::string name;
};

BestLfu FindBestLfu(const ReferenceStream& stream, double share) {
  BestLfu best;
  for (const Scope scope : {Scope::kGlobal, Scope::kPerLayer}) {
    for (const double half_life : kHalfLives) {
      DecayedLfu lfu(stream.layout(), scope, half_life);
      const uint64_t misses = DecodeMisses(stream, lfu, share);
      if (misses < best.misses) {
        best = {misses, fmt::format("{}{}", half_life, scope == Scope::kGlobal ? "" : ", layer")};
      }
    }
  }
  return best;
}

void PrintWeights(const ForecastWeights& weights) {
  std::cout << fmt::format("{{{:.3f}F, {{", weights.bias);
  for (size_t f = 0; f < weights.features.size(); ++f) {
    std::cout << fmt::format("{}{:.3f}F", f == 0 ? "" : ", ", weights.features[f]);
  }
  std::cout << "}}\n";
}

double Judge(const LoadedTrace& trace, const ForecastWeights& weights, double share) {
  const ReferenceStream& stream = trace.stream;
  const BestLfu lfu = FindBestLfu(stream, share);
  Forecast forecast(stream.layout(), weights);
  const uint64_t misses = DecodeMisses(stream, forecast, share);
  Belady belady(stream);
  const uint64_t least = DecodeMisses(stream, belady, share);
  const double gap = static_cast<double>(lfu.misses) - static_cast<double>(least);
  const double closed =
      gap == 0 ? 0 : (static_cast<double>(lfu.misses) - static_cast<double>(misses)) / gap;
  std::cout << fmt::format("| {} | {:.0f} % | {} ({}) | {} | {:.3f} | {} | {:.1f} % |\n",
                           trace.name, 100 * share, lfu.misses, lfu.name, misses,
                           static_cast<double>(misses) / static_cast<double>(lfu.misses), least,
                           100 * closed);
  return closed;
}

void PrintGuesses(const std::vector<LoadedTrace>& traces) {
  const auto percent = [](uint64_t n, uint64_t of) {
    return of == 0
               ? std::string("-")
               : fmt::format("{:.0f} %", 100 * static_cast<double>(n) / static_cast<double>(of));
  };
  std::cout << "\n| Pairs of experts | Slots | misses | guesses at missing pages | right | worth a "
               "read | right |\n|---|---|---|---|---|---|---|\n";
  for (const LoadedTrace& trace : traces) {
    for (const double share : kShares) {
      const auto n_slots = std::lround(share * trace.stream.layout().n_pages());
      const GuessCounts counts = GuessByPairs(trace.stream, static_cast<uint32_t>(n_slots));
      std::cout << fmt::format("| {} | {:.0f} % | {} | {} | {} | {} | {} |\n", trace.name,
                               100 * share, counts.missing, counts.guesses,
                               percent(counts.guesses_right, counts.guesses), counts.worth,
                               percent(counts.worth_right, counts.worth));
    }
  }
}

Result<Options> ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool has_value = i + 1 < argc;
    if (argument == "--without" && has_value) {
      std::string_view list = argv[++i];
      for (const char c : list) {
        options.without |= c >= '1' && c <= '9' ? 1U << (c - '0') : 0U;
      }
    } else if (argument == "--horizon" && has_value) {
      const std::string_view value = argv[++i];
      std::from_chars(value.data(), value.data() + value.size(), options.horizon);
    } else {
      options.paths.push_back(argument);
    }
  }
  if (options.paths.size() < 2) {
    return Fail(ErrorKind::kUsage,
                "usage: tune-policy [--without N,...] [--horizon N] TRACE TRACE...");
  }
  return options;
}

Result<> Tune(const Options& options) {
  std::vector<LoadedTrace> traces;
  for (const std::string& path : options.paths) {
    auto trace = memory::trace::ReadTrace(path);
    if (!trace) {
      return Forward(trace);
    }
    ReferenceStream stream(*trace, PrefillAs::kChunk);
    Samples samples = Collect(stream, options.horizon, kStride);
    traces.push_back({std::filesystem::path(path).stem().stem().string(), std::move(stream),
                      std::move(samples)});
  }
  std::cout
      << "| Held out | Slots | Best decayed LFU (half-life) | Forecast | ratio | Belady | gap "
         "closed |\n|---|---|---|---|---|---|---|\n";
  double sum = 0;
  std::vector<const Samples*> all;
  for (const LoadedTrace& held_out : traces) {
    std::vector<const Samples*> others;
    for (const LoadedTrace& trace : traces) {
      if (&trace != &held_out) {
        others.push_back(&trace.samples);
      }
    }
    all.push_back(&held_out.samples);
    const ForecastWeights weights = Fit(others, options.without);
    for (const double share : kShares) {
      const double closed = Judge(held_out, weights, share);
      sum += share == 0.12 || share == 0.25 ? closed : 0;
    }
  }
  std::cout << fmt::format("\nMean gap closed at 12 and 25 %: {:.1f} %\nFitted to all: ",
                           100 * sum / (2 * static_cast<double>(traces.size())));
  PrintWeights(Fit(all, options.without));
  PrintGuesses(traces);
  return {};
}

}  // namespace
}  // namespace plimsoll::tune_policy

int main(int argc, char** argv) {
  using namespace plimsoll::tune_policy;
  auto options = ParseOptions(argc, argv);
  const plimsoll::Result<> done = options ? Tune(*options) : plimsoll::Forward(options);
  if (!done) {
    std::cerr << "error: " << done.error().message << '\n';
    return static_cast<int>(done.error().kind);
  }
  return 0;
}
