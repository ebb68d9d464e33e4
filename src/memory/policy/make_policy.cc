#include "memory/policy/make_policy.h"

#include <algorithm>
#include <array>
#include <string>

#include "memory/policy/forecast.h"
#include "memory/policy/lfu.h"
#include "memory/policy/lru.h"
#include "memory/policy/s3_fifo.h"

namespace plimsoll::memory::policy {
namespace {

struct Entry {
  PolicyName name;
  std::unique_ptr<Policy> (*make)(const PageLayout& layout);
};

template <class P, auto... kArguments>
std::unique_ptr<Policy> Make(const PageLayout& layout) {
  return std::make_unique<P>(layout, kArguments...);
}

// Half-lives in passes; docs/paging.md has the misses for others.
constexpr std::array kEntries = {
    Entry{{"forecast", "the least likely to be used soon, by a fitted forecast (the default)"},
          [](const PageLayout& layout) -> std::unique_ptr<Policy> {
            return std::make_unique<Forecast>(layout);
          }},
    Entry{{"lfu-layer", "decayed counts, half-life 16 passes, equal shares for the layers"},
          Make<DecayedLfu, Scope::kPerLayer, 16>},
    Entry{{"lfu", "decayed counts, half-life 16 passes"}, Make<DecayedLfu, Scope::kGlobal, 16>},
    Entry{{"lru-layer", "least recently used, equal shares for the layers"},
          Make<Lru, Scope::kPerLayer>},
    Entry{{"lru", "least recently used"}, Make<Lru, Scope::kGlobal>},
    Entry{{"s3-fifo", "three queues (SOSP 2023)"}, Make<S3Fifo>},
};

constexpr auto kNames = [] {
  std::array<PolicyName, kEntries.size()> names;
  std::ranges::transform(kEntries, names.begin(), &Entry::name);
  return names;
}();

}  // namespace

std::span<const PolicyName> PolicyNames() { return kNames; }

Result<std::unique_ptr<Policy>> MakePolicy(std::string_view name, const PageLayout& layout) {
  for (const Entry& entry : kEntries) {
    if (entry.name.name == name) {
      return entry.make(layout);
    }
  }
  std::string names;
  for (const PolicyName& known : kNames) {
    names += names.empty() ? "" : ", ";
    names += known.name;
  }
  return Fail(ErrorKind::kUsage, "no policy {}; there are {}", name, names);
}

}  // namespace plimsoll::memory::policy
