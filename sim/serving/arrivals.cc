#include "sim/serving/arrivals.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace plimsoll::sim {
namespace {

using Random = std::mt19937_64;

// Lengths with this median and spread, as those of conversations are.
struct Lengths {
  double median = 1;
  double spread = 0;
  double most = 1e9;

  uint32_t Draw(Random& random) const {
    std::lognormal_distribution<double> length(std::log(median), spread);
    return static_cast<uint32_t>(std::lround(std::clamp(length(random), 1.0, most)));
  }
};

struct Kind {
  std::string_view client;
  double share = 1;
  Lengths prompt;
  Lengths output;
};

constexpr Kind kPlain = {.client = "all", .prompt = {200, 0.8, 2000}, .output = {120, 0.6, 1000}};
constexpr Kind kMixed[] = {
    {.client = "chat", .share = 0.6, .prompt = {100, 0.6, 1000}, .output = {150, 0.6, 1000}},
    {.client = "digest", .share = 0.25, .prompt = {1500, 0.4, 4000}, .output = {50, 0.4, 300}},
    {.client = "author", .share = 0.15, .prompt = {300, 0.5, 2000}, .output = {900, 0.4, 2500}}};

constexpr uint32_t kBurst = 20;
constexpr uint32_t kGroups = 10;
constexpr uint32_t kSystemPrompt = 1000;

Arrival Draw(const Kind& kind, Random& random) {
  Arrival arrival;
  arrival.client = kind.client;
  arrival.prompt = {{random(), kind.prompt.Draw(random)}};
  arrival.n_output = kind.output.Draw(random);
  return arrival;
}

// Arrivals that know nothing of each other, so many a second.
void SpreadOut(Arrivals& arrivals, double per_second, Random& random) {
  std::exponential_distribution<double> gap(per_second);
  double seconds = 0;
  for (Arrival& arrival : arrivals) {
    arrival.seconds = seconds;
    seconds += gap(random);
  }
}

Arrivals Steady(Random& random, uint32_t n, double per_second) {
  Arrivals arrivals;
  for (uint32_t i = 0; i < n; ++i) {
    arrivals.push_back(Draw(kPlain, random));
  }
  SpreadOut(arrivals, 0.7 * per_second, random);
  return arrivals;
}

Arrivals Bursty(Random& random, uint32_t n, double per_second) {
  Arrivals arrivals = Steady(random, n, per_second);
  // Every second twenty come when the first of them does.
  for (size_t i = 0; i < arrivals.size(); ++i) {
    if (i / kBurst % 2 == 1) {
      arrivals[i].seconds = arrivals[i / kBurst * kBurst].seconds;
    }
  }
  return arrivals;
}

Arrivals Mixed(Random& random, uint32_t n, double per_second) {
  std::discrete_distribution<size_t> which({kMixed[0].share, kMixed[1].share, kMixed[2].share});
  Arrivals arrivals;
  for (uint32_t i = 0; i < n; ++i) {
    arrivals.push_back(Draw(kMixed[which(random)], random));
  }
  SpreadOut(arrivals, 1.1 * per_second, random);
  return arrivals;
}

Arrivals Shared(Random& random, uint32_t n, double per_second) {
  constexpr Kind kQuestion = {
      .client = "shared", .prompt = {60, 0.5, 400}, .output = {80, 0.5, 500}};
  std::vector<double> popularity;
  std::vector<Segment> systems;
  for (uint32_t group = 0; group < kGroups; ++group) {
    popularity.push_back(1.0 / (group + 1));
    systems.push_back({random(), kSystemPrompt});
  }
  std::discrete_distribution<size_t> which(popularity.begin(), popularity.end());
  Arrivals arrivals;
  for (uint32_t i = 0; i < n; ++i) {
    Arrival arrival = Draw(kQuestion, random);
    arrival.prompt.insert(arrival.prompt.begin(), systems[which(random)]);
    arrivals.push_back(std::move(arrival));
  }
  SpreadOut(arrivals, 0.9 * per_second, random);
  return arrivals;
}

}  // namespace

uint32_t Arrival::n_prompt() const {
  uint32_t n = 0;
  for (const Segment& segment : prompt) {
    n += segment.n_tokens;
  }
  return n;
}

const std::vector<std::string_view>& ArrivalKinds() {
  static const std::vector<std::string_view> kKinds = {"steady", "bursty", "mixed", "shared"};
  return kKinds;
}

Result<Arrivals> MakeArrivals(std::string_view kind, uint64_t seed, uint32_t n, double per_second) {
  Random random(seed);
  if (kind == "steady") return Steady(random, n, per_second);
  if (kind == "bursty") return Bursty(random, n, per_second);
  if (kind == "mixed") return Mixed(random, n, per_second);
  if (kind == "shared") return Shared(random, n, per_second);
  return Fail(ErrorKind::kUsage, "there is no trace \"{}\"; there are {}", kind,
              fmt::join(ArrivalKinds(), ", "));
}

}  // namespace plimsoll::sim
