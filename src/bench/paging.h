// What a test read from the disk because its weights did not all fit, and how near that is to the
// best possible.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "bench/plan.h"
#include "bench/replay_misses.h"
#include "bench/timing.h"
#include "engine/cost_model.h"
#include "engine/engine.h"
#include "engine/planner.h"
#include "memory/trace/temporary_trace.h"
#include "memory/trace/trace.h"

namespace plimsoll::bench {

struct PagingCounts {
  uint64_t wanted = 0;  // experts of layers
  uint64_t misses = 0;  // of these, not in memory but for guesses
  uint64_t bytes_read = 0;
  double waited_seconds = 0;     // with nothing to work on
  double disk_busy_seconds = 0;  // with a read under way
};
// Of experts and of dense weights; nothing where all are resident.
[[nodiscard]] std::optional<PagingCounts> CountsOf(const engine::Engine& engine);

// Of all timed repetitions of a test together.
struct PagingResult {
  uint32_t n_experts = 0;  // of all layers; 0: only dense weights were read
  uint32_t n_frames = 0;
  PagingCounts counts;
  uint64_t n_tokens = 0;
  double seconds = 0;
  double disk_bytes_per_s = 0;  // that the disk gives over a longer time; 0: not measured
  // From a replay of what the routers chose; 0: not known.
  double bound_seconds = 0;  // with these misses (engine/cost_model.h)
  uint64_t belady_misses = 0;
  double plan_seconds = 0;  // what `plimsoll plan` says of the same

  [[nodiscard]] double hit_rate() const;
  [[nodiscard]] double read_bytes_per_token() const;
  [[nodiscard]] double disk_rate() const;  // bytes a second while it was busy
  [[nodiscard]] double disk_duty() const;  // share of the time
  [[nodiscard]] double waited_share() const;
  [[nodiscard]] double bound_share() const;  // bound / time: 1 is the best
  [[nodiscard]] double over_belady() const;
};

// In words: what took the time, and what would help.
[[nodiscard]] std::string WhySlow(const PagingResult& result);

// Looks on while one engine whose weights are paged runs its tests.
class PagingWatch {
 public:
  // Nothing when they will not be, or when that cannot be told.
  [[nodiscard]] static std::unique_ptr<PagingWatch> Prepare(const engine::EngineOptions& options);
  PagingWatch(const PagingWatch&) = delete;
  PagingWatch& operator=(const PagingWatch&) = delete;

  // For EngineOptions::trace; nothing when there is no routing to record.
  [[nodiscard]] std::optional<std::filesystem::path> trace_path() const {
    return trace_ ? std::optional(trace_->path()) : std::nullopt;
  }

  // How many tokens a warm-up generates: so many that they tell how the model routes, where nothing
  // is known of that.
  [[nodiscard]] uint32_t warm_up_tokens() const;

  // Around each timed repetition.
  void Before(const engine::Engine& engine);
  void After(const engine::Engine& engine);
  // The counts since the last Take; nothing when the engine pages nothing.
  [[nodiscard]] std::optional<PagingResult> Take(const BenchTest& test, const TimedRun& run);

  // After the last test: completes what Take gave. `speed` needs no disk. `is_text`: the tokens
  // were text, so that how they were routed is worth remembering for plans.
  struct Test {
    BenchTest test;
    PassRange warm_up;
    std::vector<PassRange> passes;
    PagingResult* result = nullptr;
  };
  [[nodiscard]] Result<> Complete(engine::MachineSpeed speed, bool is_text,
                                  std::span<const Test> tests);

 private:
  PagingWatch() = default;
  void LearnFromWarmUp(const ReplayedMisses& replayed, std::span<const Test> tests);
  [[nodiscard]] engine::TokenWork WorkOf(const BenchTest& test) const;
  // How the test's reads were.
  [[nodiscard]] engine::ReadPattern ReadsOf(const Test& test) const;
  [[nodiscard]] double BoundWithoutExperts(const Test& test,
                                           const engine::MachineSpeed& speed) const;
  void Remember(const memory::trace::Trace* trace, std::span<const Test> tests) const;

  std::unique_ptr<engine::Planner> planner_;
  double miss_ratio_ = 0;        // that a plan expects,
  bool knows_routing_ = false;   // of this model, not of its kind
  double share_ = 0;             // of the experts that have frames
  double reached_ = 1;           // of the bound, that a plan expects
  uint32_t chunk_ = 0;           // tokens of a prompt in one pass
  uint64_t streamed_bytes_ = 0;  // of dense weights, for every pass
  std::optional<memory::trace::TemporaryTrace> trace_;
  std::optional<PagingCounts> before_;
  std::optional<PagingCounts> counts_;
  uint32_t n_experts_ = 0;
  uint32_t n_frames_ = 0;
};

}  // namespace plimsoll::bench
