// Runs the simulation of the pager.
//
//   simulate --seed N                   one seed, with every event
//   simulate --seeds N [--night N]      seeds 1 to N; with PLIMSOLL_NIGHT in the environment, the
//   other
//                                       number
//
// Exit code 1 and the seed, when an invariant breaks.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <unistd.h>

#include "sim/simulation.h"

namespace plimsoll::sim {
namespace {

constexpr uint64_t kTwiceEvery = 64;      // seeds of which one is run twice
constexpr uint64_t kTalliedFrom = 1'000;  // so many seeds have seen everything
// Of real time: a seed takes milliseconds, and virtual time stands still in an endless loop.
constexpr unsigned kSeedSecondsMax = 30;

struct Options {
  std::optional<uint64_t> seed;
  uint64_t n_seeds = 0;
};

std::optional<Options> ParseOptions(std::span<const char* const> words) {
  Options options;
  const bool night = std::getenv("PLIMSOLL_NIGHT") != nullptr;
  for (size_t i = 0; i + 1 < words.size(); i += 2) {
    const std::string_view name = words[i];
    const std::string_view text = words[i + 1];
    uint64_t number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
      return std::nullopt;
    }
    if (name == "--seed") {
      options.seed = number;
    } else if (name == "--seeds") {
      options.n_seeds = options.n_seeds == 0 ? number : options.n_seeds;
    } else if (name == "--night") {
      options.n_seeds = night ? number : options.n_seeds;
    } else {
      return std::nullopt;
    }
  }
  if (words.size() % 2 != 0 || (!options.seed && options.n_seeds == 0)) {
    return std::nullopt;
  }
  return options;
}

// The seed that runs, for a process that dies: one thread runs them one after another.
volatile std::sig_atomic_t running_seed = 0;

void NameSeed(int signal_number) {
  char text[] = "simulation: this was seed            \n";
  char* digit = text + sizeof(text) - 3;
  for (auto seed = static_cast<uint32_t>(running_seed);
       seed > 0 || digit == text + sizeof(text) - 3; seed /= 10) {
    *digit-- = static_cast<char>('0' + seed % 10);
  }
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, sizeof(text) - 1);
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

// False when an invariant broke.
bool RunSeed(uint64_t seed, bool trace, Tally& tally) {
  running_seed = static_cast<std::sig_atomic_t>(seed);
  ::alarm(kSeedSecondsMax);
  Simulation simulation(seed, trace);
  simulation.Run();
  simulation.AddTo(tally);
  std::string broken = simulation.findings().broken();
  if (broken.empty() && !trace && seed % kTwiceEvery == 0) {
    Simulation again(seed, false);
    again.Run();
    if (again.findings().digest() != simulation.findings().digest()) {
      broken = "the same seed goes another way the second time";
    }
  }
  if (!broken.empty()) {
    fmt::print(stderr, "seed {}: {}\nsimulate --seed {} shows every event\n", seed, broken, seed);
  }
  return broken.empty();
}

int RunSeeds(uint64_t n_seeds) {
  Tally tally;
  uint64_t n_broken = 0;
  for (uint64_t seed = 1; seed <= n_seeds && n_broken < 10; ++seed) {
    n_broken += RunSeed(seed, false, tally) ? 0U : 1U;
  }
  bool all_seen = true;
  for (const NamedCount& named : NamedCounts()) {
    fmt::print("{:>12}  {}\n", tally.*named.count, named.name);
    all_seen &= tally.*named.count > 0;
  }
  if (n_seeds >= kTalliedFrom && !all_seen) {
    fmt::print(stderr, "something of this never happened: the simulation does not test it\n");
    return 1;
  }
  fmt::print("{} seeds, {} with a broken invariant\n", n_seeds, n_broken);
  return n_broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace plimsoll::sim

int main(int argc, char** argv) {
  using namespace plimsoll::sim;
  const auto options =
      ParseOptions(std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  if (!options) {
    fmt::print(stderr, "usage: simulate --seed N | --seeds N [--night N]\n");
    return 2;
  }
  for (const int signal_number : {SIGABRT, SIGSEGV, SIGBUS, SIGALRM}) {
    std::signal(signal_number, NameSeed);
  }
  if (options->seed) {
    Tally tally;
    return RunSeed(*options->seed, true, tally) ? 0 : 1;
  }
  return RunSeeds(options->n_seeds);
}
