#include "bench/paging.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/bytes.h"
#include "bench/replay_misses.h"
#include "engine/miss_curve.h"
#include "memory/trace/trace_file.h"

namespace plimsoll::bench {
namespace {

// Of a warm-up that is to tell how a model routes: the first ones find the frames empty, the others
// are counted.
constexpr uint32_t kTokensToFill = 24;
constexpr uint32_t kTokensToLearn = kTokensToFill + engine::kTokensOfProfileMin;

constexpr double kLittle = 0.1;        // a share of the time that explains nothing
constexpr double kFarFromBound = 0.7;  // below: something else than the bound explains the time
constexpr double kNearBound = 0.85;    // at and above: nothing is left to explain

double Seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

double Ratio(double value, double of) { return of == 0 ? 0 : value / of; }

}  // namespace

std::optional<PagingCounts> CountsOf(const engine::Engine& engine) {
  const auto experts = engine.paging();
  const auto dense = engine.streaming();
  if (!experts && !dense) {
    return std::nullopt;
  }
  PagingCounts counts;
  if (experts) {
    for (const memory::WantStats& stats : experts->pager.phases) {
      counts.wanted += stats.wanted;
      counts.misses += stats.misses();
      counts.bytes_read += stats.bytes_read;
      counts.waited_seconds += Seconds(stats.waited);
    }
    counts.bytes_read += experts->pager.prefetched_bytes;
    // A guess that came true was missing too: the policy had not kept it.
    counts.misses += experts->pager.prefetched_used;
    counts.disk_busy_seconds = Seconds(experts->reader.busy);
  }
  if (dense) {
    counts.bytes_read += dense->stream.bytes_read;
    counts.waited_seconds += Seconds(dense->stream.waited);
    counts.disk_busy_seconds = std::max(counts.disk_busy_seconds, Seconds(dense->reader.busy));
  }
  return counts;
}

double PagingResult::hit_rate() const {
  return counts.wanted == 0
             ? 1
             : 1 - static_cast<double>(counts.misses) / static_cast<double>(counts.wanted);
}
double PagingResult::read_bytes_per_token() const {
  return Ratio(static_cast<double>(counts.bytes_read), static_cast<double>(n_tokens));
}
double PagingResult::disk_rate() const {
  return Ratio(static_cast<double>(counts.bytes_read), counts.disk_busy_seconds);
}
double PagingResult::disk_duty() const { return Ratio(counts.disk_busy_seconds, seconds); }
double PagingResult::waited_share() const { return Ratio(counts.waited_seconds, seconds); }
double PagingResult::bound_share() const { return Ratio(bound_seconds, seconds); }
double PagingResult::over_belady() const {
  return Ratio(static_cast<double>(counts.misses), static_cast<double>(belady_misses));
}

std::string WhySlow(const PagingResult& result) {
  const double waited = result.waited_share();
  const std::string there =
      result.n_experts == 0
          ? "Dense weights were streamed, "
          : fmt::format("{:.0f} % of the experts were in memory, ", 100 * result.hit_rate());
  if (waited < kLittle) {
    const bool is_far = result.bound_seconds > 0 && result.bound_share() < kFarFromBound;
    return there + fmt::format("and {:.0f} % of the time it waited for the disk: {}", 100 * waited,
                               is_far ? "other work on the machine, or arithmetic below its peak, "
                                        "took the time."
                                      : "memory and arithmetic set the pace.");
  }
  std::string text = there + fmt::format(
                                 "{:.3g} MB a token came from the disk, and {:.0f} % of the "
                                 "time it waited for that.",
                                 result.read_bytes_per_token() / 1e6, 100 * waited);
  if (result.disk_bytes_per_s == 0) {
    return text;
  }
  text += fmt::format(
      " The disk was busy {:.0f} % of the time and then gave {:.2f} of its {:.2f} GB/s",
      100 * result.disk_duty(), result.disk_rate() / 1e9, result.disk_bytes_per_s / 1e9);
  if (result.disk_rate() < kFarFromBound * result.disk_bytes_per_s) {
    return text + ": it had too little to do at a time, or others used it.";
  }
  if (result.bound_seconds > 0 && result.bound_share() < kNearBound) {
    return text + ": it stood still between the reads.";
  }
  return text + ": its limit. Only more memory helps, or a faster disk.";
}

std::unique_ptr<PagingWatch> PagingWatch::Prepare(const engine::EngineOptions& options) {
  auto planner = engine::Planner::Open(options);
  if (!planner) {
    return nullptr;
  }
  auto fitted = (*planner)->At((*planner)->LineFor(options.memory));
  if (!fitted || fitted->division.residence == engine::Residence::kAll) {
    return nullptr;
  }
  auto watch = std::unique_ptr<PagingWatch>(new PagingWatch());
  watch->planner_ = std::move(*planner);
  uint64_t n_frames = 0;
  uint64_t n_pages = 0;
  for (const engine::ExpertShare& share : fitted->division.experts) {
    n_frames += share.n_frames;
    n_pages += share.n_pages;
  }
  watch->share_ = Ratio(static_cast<double>(n_frames), static_cast<double>(n_pages));
  const engine::MissCurve misses = watch->planner_->Misses();
  watch->miss_ratio_ = misses.At(watch->share_);
  watch->knows_routing_ = misses.source() != engine::MissCurve::Source::kTypical;
  watch->reached_ = watch->planner_->Reached();
  watch->chunk_ = fitted->model->max_chunk();
  watch->streamed_bytes_ = fitted->division.stream.streamed_bytes();
  if (n_pages != 0) {
    auto trace = memory::trace::TemporaryTrace::Create("bench");
    if (!trace) {
      return nullptr;
    }
    watch->trace_.emplace(*std::move(trace));
  }
  return watch;
}

uint32_t PagingWatch::warm_up_tokens() const {
  return trace_ && !knows_routing_ ? kTokensToLearn : 1;
}

void PagingWatch::Before(const engine::Engine& engine) { before_ = CountsOf(engine); }

void PagingWatch::After(const engine::Engine& engine) {
  const auto now = CountsOf(engine);
  if (!now || !before_) {
    return;
  }
  PagingCounts& counts = counts_ ? *counts_ : counts_.emplace();
  counts.wanted += now->wanted - before_->wanted;
  counts.misses += now->misses - before_->misses;
  counts.bytes_read += now->bytes_read - before_->bytes_read;
  counts.waited_seconds += now->waited_seconds - before_->waited_seconds;
  counts.disk_busy_seconds += now->disk_busy_seconds - before_->disk_busy_seconds;
  if (const auto experts = engine.paging()) {
    n_experts_ = experts->n_pages;
    n_frames_ = experts->n_frames;
  }
}

std::optional<PagingResult> PagingWatch::Take(const BenchTest& test, const TimedRun& run) {
  if (!counts_) {
    return std::nullopt;
  }
  PagingResult result;
  result.n_experts = n_experts_;
  result.n_frames = n_frames_;
  result.counts = *std::exchange(counts_, std::nullopt);
  result.n_tokens = uint64_t{test.n_timed()} * run.samples_ns.size();
  for (const uint64_t sample : run.samples_ns) {
    result.seconds += static_cast<double>(sample) / 1e9;
  }
  return result;
}

Result<> PagingWatch::Complete(engine::MachineSpeed speed, bool is_text,
                               std::span<const Test> tests) {
  std::optional<memory::trace::Trace> trace;
  std::optional<ReplayedMisses> replayed;
  if (trace_) {
    auto read = memory::trace::ReadTrace(trace_->path());
    if (!read) {
      return tl::unexpected(read.error());
    }
    trace = *std::move(read);
    replayed.emplace(*trace, n_frames_);
  }
  if (auto disk = io::CachedDiskSpeed(planner_->catalogue().files.front(), {})) {
    speed.disk = *std::move(disk);
  }
  // A disk that others share gives now more, now less than when it was measured; what it gave in
  // these tests it can give.
  for (const Test& test : tests) {
    const engine::ReadPattern reads = ReadsOf(test);
    speed.disk.RaiseTo(test.result->disk_rate(), reads.bytes, reads.depth);
  }
  if (replayed && is_text && !knows_routing_) {
    LearnFromWarmUp(*replayed, tests);
  }
  for (const Test& test : tests) {
    const engine::TokenWork work = WorkOf(test.test);
    test.result->disk_bytes_per_s = speed.disk.sustained;
    const engine::PrefillShape prompt = {
        .n_tokens = test.test.n_prompt, .chunk = chunk_, .resident_share = share_};
    test.result->plan_seconds =
        static_cast<double>(test.passes.size()) *
        (CostOfPrefill(work, speed, prompt).seconds() +
         test.test.n_gen * CostOfDecode(work, speed, miss_ratio_).seconds() / reached_);
    if (!replayed) {
      test.result->bound_seconds = BoundWithoutExperts(test, speed);
    }
    for (const PassRange& passes : test.passes) {
      test.result->bound_seconds += replayed ? replayed->BoundOf(passes, work, speed) : 0;
      test.result->belady_misses += replayed ? replayed->BeladyMissesOf(passes) : 0;
    }
  }
  if (!replayed || (is_text && replayed->n_decoded() >= engine::kTokensOfProfileMin)) {
    Remember(trace ? &*trace : nullptr, tests);
  }
  return {};
}

// On the mean. Without experts there is one long stream.
engine::ReadPattern PagingWatch::ReadsOf(const Test& test) const {
  const engine::TokenWork work = WorkOf(test.test);
  if (work.experts.empty()) {
    return {.bytes = UINT64_MAX, .depth = UINT32_MAX};
  }
  const engine::ExpertWork& layer = work.experts.front();
  const PagingCounts& counts = test.result->counts;
  const double n_read =
      Ratio(static_cast<double>(counts.bytes_read), static_cast<double>(layer.read_bytes));
  const double n_visits =
      Ratio(static_cast<double>(counts.wanted), static_cast<double>(layer.n_active));
  return engine::ReadsOf(layer, test.test.n_prompt + 1,
                         static_cast<uint32_t>(std::lround(Ratio(n_read, n_visits))));
}

// As `plimsoll plan --probe` would have told the plan.
void PagingWatch::LearnFromWarmUp(const ReplayedMisses& replayed, std::span<const Test> tests) {
  for (const Test& test : tests) {
    if (test.warm_up.end - test.warm_up.begin == kTokensToLearn) {
      miss_ratio_ = replayed.MissRatioOf({test.warm_up.begin + kTokensToFill, test.warm_up.end});
      return;
    }
  }
}

engine::TokenWork PagingWatch::WorkOf(const BenchTest& test) const {
  engine::TokenWork work = planner_->WorkAt(test.n_depth + test.n_timed() / 2);
  work.streamed_bytes = streamed_bytes_;
  return work;
}

double PagingWatch::BoundWithoutExperts(const Test& test, const engine::MachineSpeed& speed) const {
  const engine::TokenWork work = WorkOf(test.test);
  double seconds = test.test.n_gen * BoundOfPass(work, speed, 1, {});
  for (uint32_t done = 0; done < test.test.n_prompt; done += chunk_) {
    seconds += BoundOfPass(work, speed, std::min(chunk_, test.test.n_prompt - done), {});
  }
  return static_cast<double>(test.passes.size()) * seconds;
}

// A cache that cannot be written costs the next plan its knowledge, and nothing else.
void PagingWatch::Remember(const memory::trace::Trace* trace, std::span<const Test> tests) const {
  const auto cache = io::MeasurementCache::OfUser();
  const std::string model =
      engine::ProfileName(planner_->hyper_params(), planner_->catalogue().TotalBytes());
  if (trace != nullptr) {
    if (const auto curve = engine::MissCurve::OfTrace(*trace, engine::ProfileShares())) {
      static_cast<void>(engine::StoreMissProfile(cache, model, *curve));
    }
  }
  double bound = 0;
  double seconds = 0;
  for (const Test& test : tests) {
    if (test.test.n_prompt == 0) {
      bound += test.result->bound_seconds;
      seconds += test.result->seconds;
    }
  }
  if (bound > 0) {
    static_cast<void>(engine::StoreReached(cache, model, std::min(bound / seconds, 1.0)));
  }
}

}  // namespace plimsoll::bench
