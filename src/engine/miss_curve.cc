#include "engine/miss_curve.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "memory/policy/forecast.h"
#include "memory/replay/reference_stream.h"
#include "memory/replay/replay.h"

namespace plimsoll::engine {
namespace {

// A year: how a model routes does not change with the machine.
constexpr std::chrono::seconds kProfileAge = std::chrono::hours(365 * 24);
constexpr double kPartsOfShare = 1e6;  // a stored share is a whole number of these

constexpr std::array kShares = {0.02, 0.04, 0.06, 0.08, 0.10, 0.125, 0.16, 0.20, 0.25, 0.30,
                                0.35, 0.40, 0.45, 0.50, 0.60, 0.70,  0.80, 0.90, 0.95};

// Misses fall with the frames as exp(-kRate * share^kPower), fitted by least squares (of the ratio)
// to the default policy's replays of the traces of docs/paging.md. Of the experts of a token
// kInTransit are where no policy can help: they were just used and wait for the next token.
constexpr double kRate = 2.903;
constexpr double kPower = 0.5054;
constexpr double kInTransit = 0.45;

double TypicalMissRatio(double share, double active_share) {
  const double useful = std::max(0.0, share - kInTransit * active_share);
  return (1 - share) * std::exp(-kRate * std::pow(useful, kPower));
}

// As long as the machine's bandwidths are remembered.
constexpr std::chrono::seconds kReachedAge = std::chrono::hours(30 * 24);
constexpr double kReachedMin = 0.05;  // less is an accident

std::string ReachedKeyOf(std::string_view model) {
  return fmt::format("reached {} {}", io::MachineKey(), model);
}

std::string KeyOf(std::string_view model) { return fmt::format("misses {}", model); }

}  // namespace

MissCurve MissCurve::Typical(double active_share) {
  std::vector<Point> points;
  for (const double share : kShares) {
    points.push_back({share, TypicalMissRatio(share, active_share)});
  }
  return {Source::kTypical, std::move(points)};
}

Result<MissCurve> MissCurve::OfTrace(const memory::trace::Trace& trace,
                                     std::span<const double> shares) {
  const memory::replay::ReferenceStream stream(trace, memory::replay::PrefillAs::kChunk);
  const uint32_t n_pages = stream.layout().n_pages();
  std::vector<Point> points;
  for (const double share : shares) {
    const auto n_slots = static_cast<uint32_t>(std::max(1L, std::lround(share * n_pages)));
    memory::policy::Forecast policy(stream.layout());
    const auto counts = memory::replay::Replay(stream, policy, n_slots);
    if (counts.decode.references == 0) {
      return Fail(ErrorKind::kFailed,
                  "nothing was decoded in the trace: it says nothing of misses");
    }
    points.push_back({share, 1 - counts.decode.hit_rate()});
  }
  return MissCurve(Source::kRecorded, std::move(points));
}

double MissCurve::At(double share) const {
  if (share >= 1) {
    return 0;
  }
  Point below = {.share = 0, .miss_ratio = 1};
  for (const Point& point : points_) {
    if (point.share == share) {
      return point.miss_ratio;
    }
    if (point.share > share) {
      const double part = (share - below.share) / (point.share - below.share);
      return std::lerp(below.miss_ratio, point.miss_ratio, part);
    }
    below = point;
  }
  return std::lerp(below.miss_ratio, 0.0, (share - below.share) / (1 - below.share));
}

std::span<const double> ProfileShares() { return kShares; }

Result<> CheckTraceFits(const memory::trace::Trace& trace, const model::HyperParams& hp) {
  const auto n_experts = [&](size_t layer) {
    return layer < hp.layers.size() && hp.layers[layer].is_moe() ? hp.layers[layer].n_experts : 0;
  };
  for (size_t i = 0; i < std::max(hp.layers.size(), trace.layers.size()); ++i) {
    const uint32_t recorded = i < trace.layers.size() ? trace.layers[i].n_experts : 0;
    if (recorded != n_experts(i)) {
      return Fail(ErrorKind::kUsage,
                  "the trace is of another model: its layer {} has {} experts, the model's {}\n"
                  "record one with plimsoll trace record",
                  i, recorded, n_experts(i));
    }
  }
  return {};
}

std::optional<MissCurve> LoadMissProfile(const io::MeasurementCache& cache,
                                         std::string_view model) {
  const auto known = cache.Load(KeyOf(model), kProfileAge);
  if (!known || known->empty()) {
    return std::nullopt;
  }
  std::vector<MissCurve::Point> points;
  for (const io::Measurement& m : *known) {
    points.push_back({static_cast<double>(m.row) / kPartsOfShare, std::clamp(m.value, 0.0, 1.0)});
  }
  std::ranges::sort(points, {}, &MissCurve::Point::share);
  return MissCurve(MissCurve::Source::kProfile, std::move(points));
}

Result<> StoreMissProfile(const io::MeasurementCache& cache, std::string_view model,
                          const MissCurve& curve) {
  std::vector<io::Measurement> measurements;
  for (const MissCurve::Point& point : curve.points()) {
    measurements.push_back(
        {static_cast<uint64_t>(std::llround(point.share * kPartsOfShare)), 0, point.miss_ratio});
  }
  return cache.Store(KeyOf(model), measurements);
}

double LoadReached(const io::MeasurementCache& cache, std::string_view model) {
  const auto known = cache.Load(ReachedKeyOf(model), kReachedAge);
  return known && known->size() == 1 ? std::clamp(known->front().value, kReachedMin, 1.0)
                                     : kReachedTypical;
}

Result<> StoreReached(const io::MeasurementCache& cache, std::string_view model, double share) {
  return cache.Store(ReachedKeyOf(model), {{0, 0, share}});
}

std::string ProfileName(const model::HyperParams& hp, uint64_t file_bytes) {
  return fmt::format("{} {} {}", hp.architecture, file_bytes, hp.name);
}

}  // namespace plimsoll::engine
