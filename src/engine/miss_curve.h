// How often a chosen expert is missing, as a function of how many of the experts have a frame.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/measurement_cache.h"
#include "memory/trace/trace.h"
#include "model/hyper_params.h"

namespace plimsoll::engine {

// In decode, in the steady state, with the default policy.
class MissCurve {
 public:
  enum class Source : uint8_t {
    kTypical,   // as models of its shape were seen to route
    kProfile,   // as this model routed in an earlier run
    kRecorded,  // as it routed in a given trace
  };
  struct Point {
    double share = 0;       // of the experts that have a frame, in (0, 1)
    double miss_ratio = 0;  // of the experts that a token chooses
  };

  // Points by ascending share; before the first everything else misses, with every expert in memory
  // nothing does.
  MissCurve(Source source, std::vector<Point> points)
      : source_(source), points_(std::move(points)) {}

  // What is known of no model but typical of those with `active_share` = experts of a token /
  // experts of a layer. docs/paging.md, "What a plan predicts", says how far it is off.
  [[nodiscard]] static MissCurve Typical(double active_share);

  // What the default policy misses on a trace with these shares, ascending; the prompt is read as
  // it was recorded. kFailed when nothing was decoded in it.
  [[nodiscard]] static Result<MissCurve> OfTrace(const memory::trace::Trace& trace,
                                                 std::span<const double> shares);

  // Straight between the points.
  [[nodiscard]] double At(double share) const;
  [[nodiscard]] Source source() const { return source_; }
  [[nodiscard]] std::span<const Point> points() const { return points_; }

 private:
  Source source_;
  std::vector<Point> points_;
};

// Fewer decoded tokens say little of how a text is routed.
inline constexpr uint64_t kTokensOfProfileMin = 40;
// Shares that a stored curve has.
[[nodiscard]] std::span<const double> ProfileShares();

// kUsage when the trace is not of a model with these layers.
[[nodiscard]] Result<> CheckTraceFits(const memory::trace::Trace& trace,
                                      const model::HyperParams& hp);

// The miss curve of a model's last measured run, kept with what was measured on this machine
// (io/measurement_cache.h). `model` tells models apart: name and size of its files, say.
[[nodiscard]] std::optional<MissCurve> LoadMissProfile(const io::MeasurementCache& cache,
                                                       std::string_view model);
// kIo when it cannot be written; that costs a better forecast, and nothing else.
Result<> StoreMissProfile(const io::MeasurementCache& cache, std::string_view model,
                          const MissCurve& curve);

// The share of the bound that decoding reaches where it was never measured: what it does with
// everything in memory (bench/RESULTS.md: 74 to 97 %), and what paged experts are to come up to.
inline constexpr double kReachedTypical = 0.85;
// What the model's last measured run reached on this machine, or kReachedTypical.
[[nodiscard]] double LoadReached(const io::MeasurementCache& cache, std::string_view model);
Result<> StoreReached(const io::MeasurementCache& cache, std::string_view model, double share);

// By the architecture, the name and the bytes of all files.
[[nodiscard]] std::string ProfileName(const model::HyperParams& hp, uint64_t file_bytes);

}  // namespace plimsoll::engine
