#include "sim/scenario.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/checked.h"
#include "memory/policy/make_policy.h"

namespace plimsoll::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kShape = 0;  // stream of draws
// Longer than any stall bound below.
constexpr seconds kDeadLatency(30);

void DrawModel(Scenario& scenario, Draws& draws) {
  scenario.n_layers = draws.Count(1, 6);
  scenario.n_experts = draws.Count(2, 24);
  scenario.n_active = draws.Count(1, std::min(scenario.n_experts, 6U));
  scenario.n_parts = draws.Count(1, 3);
  scenario.part_bytes.resize(draws.Chance(0.3) ? 2 : 1);
  for (uint64_t& bytes : scenario.part_bytes) {
    bytes = draws.Between(500, 9'000);
  }
  scenario.dense = draws.Chance(0.5);
  scenario.zipf = 0.2 + 1.3 * draws.Uniform();
}

void DrawLine(Scenario& scenario, Draws& draws) {
  uint64_t frames_bytes = 0;
  const memory::PageHomes homes = scenario.Homes({0});
  for (uint32_t i = 0; i < scenario.n_classes(); ++i) {
    const uint32_t n_pages = scenario.PagesOfClass(i);
    const uint32_t least = n_pages == 0 ? 0 : std::min(n_pages, draws.Count(1, scenario.n_active));
    scenario.n_frames_min.push_back(least);
    scenario.n_frames.push_back(draws.Count(least, n_pages));
    frames_bytes += scenario.n_frames[i] * homes.frame_bytes[i];
  }
  const auto n_pages = static_cast<uint32_t>(homes.class_of.size());
  // Sometimes room to spare, sometimes none, sometimes fewer frames than are wished for.
  const double room = draws.Chance(0.7) ? 1 + draws.Uniform() : 0.6 + 0.4 * draws.Uniform();
  scenario.budget = memory::Pager::TableBytes(n_pages, scenario.n_parts) +
                    static_cast<uint64_t>(room * static_cast<double>(frames_bytes));
}

void DrawDisk(Scenario& scenario, Draws& draws) {
  scenario.disk = {.depth = draws.Count(1, 64),
                   .latency = microseconds(draws.Between(20, 2'000)),
                   .bytes_per_second = 1e8 + 2e9 * draws.Uniform(),
                   .seed = draws.Between(0, UINT32_MAX),
                   .slow_share = draws.Chance(0.3) ? 0.05 : 0,
                   .slow_extra = milliseconds(draws.Between(1, 200)),
                   .made_up = true};
  io::ReaderOptions& reader = scenario.reader;
  reader.n_requests_max = draws.Count(scenario.n_parts, 64);
  reader.segment_bytes = io::kIoAlignment * draws.Between(1, 4);
  reader.segments_in_flight_max.fill(1);
  reader.segments_in_flight_max.front() = scenario.disk.depth;
  for (size_t i = 1; i < io::kNReadClasses; ++i) {
    reader.segments_in_flight_max[i] = draws.Count(1, reader.segments_in_flight_max[i - 1]);
  }
  reader.bytes_in_flight_max.fill(draws.Between(1, 200) * kKiB);
  scenario.read_ahead_bytes = draws.Between(0, 100) * kKiB;
  scenario.stall_bound = seconds(draws.Between(2, 10));
}

}  // namespace

uint32_t Scenario::PagesOfClass(uint32_t page_class) const {
  uint32_t n = 0;
  for (uint32_t layer = 0; layer < n_layers; ++layer) {
    n += ClassOfLayer(layer) == page_class ? n_experts : 0;
  }
  return n;
}

memory::PageHomes Scenario::Homes(io::ReadFileId file) const {
  memory::PageHomes homes;
  homes.n_parts = n_parts;
  homes.frame_bytes.resize(n_classes());
  uint64_t at = 32;
  for (uint32_t layer = 0; layer < n_layers; ++layer) {
    const uint32_t page_class = ClassOfLayer(layer);
    for (uint32_t i = 0; i < n_experts * n_parts; ++i) {
      at = dense ? at : AlignUp(at, io::kIoAlignment) + layer % 2 * 32;
      homes.parts.push_back({file, at, part_bytes[page_class]});
      at += part_bytes[page_class];
    }
    homes.class_of.insert(homes.class_of.end(), n_experts, static_cast<uint8_t>(page_class));
  }
  for (uint32_t i = 0; i < n_classes(); ++i) {
    homes.frame_bytes[i] = n_parts * memory::PartFrameBytes(part_bytes[i]);
  }
  return homes;
}

uint64_t Scenario::FileBytes() const {
  const memory::PageHomes homes = Homes({0});
  return homes.parts.back().offset + homes.parts.back().bytes + 1;
}

Scenario DrawScenario(uint64_t seed) {
  Draws draws(seed, kShape);
  Scenario scenario;
  DrawModel(scenario, draws);
  const auto policies = memory::policy::PolicyNames();
  scenario.policy = policies[seed % policies.size()].name;
  DrawLine(scenario, draws);
  DrawDisk(scenario, draws);
  scenario.n_turns = draws.Count(2, 5);
  return scenario;
}

DiskMood GoodMood(const Scenario& scenario) {
  return {.faults = {},
          .latency = scenario.disk.latency,
          .bytes_per_second = scenario.disk.bytes_per_second};
}

DiskMood DrawMood(const Scenario& scenario, Draws& draws) {
  using Kind = DiskMood::Kind;
  DiskMood mood = GoodMood(scenario);
  constexpr Kind kKinds[] = {Kind::kGood,   Kind::kGood,          Kind::kUneven,
                             Kind::kUneven, Kind::kErrors,        Kind::kErrors,
                             Kind::kDead,   Kind::kLastingErrors, Kind::kLastingErrors};
  mood.kind = kKinds[draws.Index(std::size(kKinds))];
  mood.faults.seed = draws.Between(0, UINT32_MAX);
  if (mood.kind != Kind::kGood) {
    mood.faults.short_share = draws.Chance(0.5) ? 0.4 * draws.Uniform() : 0;
    mood.faults.interrupted_share = draws.Chance(0.5) ? 0.3 * draws.Uniform() : 0;
    mood.faults.again_share = draws.Chance(0.5) ? 0.3 * draws.Uniform() : 0;
    mood.bytes_per_second *= 0.05 + 0.95 * draws.Uniform();
  }
  if (mood.kind == Kind::kErrors || mood.kind == Kind::kLastingErrors) {
    mood.faults.error_every = draws.Between(1, 60);
    mood.faults.lasting = mood.kind == Kind::kLastingErrors;
  }
  if (mood.kind == Kind::kDead) {
    mood.latency = kDeadLatency;
  }
  return mood;
}

}  // namespace plimsoll::sim
