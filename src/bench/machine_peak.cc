#include "bench/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include <unistd.h>

#include "base/bytes.h"
#include "io/measurement_cache.h"
#include "kernels/peak_loops.h"
#include "kernels/team.h"
#include "memory/buffer.h"

namespace plimsoll::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kAge = std::chrono::hours(30 * 24);
constexpr double kReadSeconds = 0.4;  // the memory is shared, with other machines even
constexpr double kArithmeticSeconds = 0.15;
constexpr size_t kRoundsMin = 8;
constexpr uint64_t kWindowPerThread = 8 * kMiB;  // a quarter of a millisecond
constexpr size_t kSlicesPerThread = 8;
constexpr size_t kArithmeticRounds = 20'000;  // well under a millisecond

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class Round>
void RepeatFor(double seconds, const Round& round) {
  const auto start = Clock::now();
  for (size_t i = 0; i < kRoundsMin || SecondsSince(start) < seconds; ++i) {
    round(i);
  }
}

// A round is one window of the buffer, of which all threads read slices. By the time that a window
// comes again the others have pushed it out of the caches.
double ReadRate(kernels::Team& team, const kernels::PeakLoops& loops,
                std::span<const std::byte> buffer) {
  const size_t window = std::min(buffer.size(), team.n_threads() * kWindowPerThread);
  const size_t n_windows = buffer.size() / window;
  const size_t n_slices =
      std::min(team.n_threads() * kSlicesPerThread, window / kernels::kPeakReadBytes);
  const size_t slice = window / n_slices / kernels::kPeakReadBytes * kernels::kPeakReadBytes;
  double best = 0;
  RepeatFor(kReadSeconds, [&](size_t i) {
    const std::byte* const begin = buffer.data() + i % n_windows * window;
    const auto start = Clock::now();
    team.Run(n_slices, [&](size_t s, size_t /*thread*/) {
      [[maybe_unused]] const volatile uint64_t sum = loops.read(begin + s * slice, slice);
    });
    best = std::max(best, static_cast<double>(n_slices * slice) / SecondsSince(start));
  });
  return best;
}

// Nothing is shared, so each thread's best round counts, and not the best round of all at once.
double ArithmeticRate(kernels::Team& team, uint64_t (*loop)(size_t)) {
  std::vector<double> best(team.n_threads());
  RepeatFor(kArithmeticSeconds, [&](size_t /*round*/) {
    team.Run(best.size(), [&](size_t i, size_t /*thread*/) {
      const auto start = Clock::now();
      const auto multiply_adds = static_cast<double>(loop(kArithmeticRounds));
      best[i] = std::max(best[i], multiply_adds / SecondsSince(start));
    });
  });
  return std::accumulate(best.begin(), best.end(), 0.0);
}

std::string PeakKey(const kernels::KernelSet& kernels, size_t n_threads) {
  return fmt::format("memory {} {} {}", io::MachineKey(), kernels.name, n_threads);
}

}  // namespace

uint64_t PeakBufferBytes(uint64_t line_bytes) {
  const long cache = ::sysconf(_SC_LEVEL3_CACHE_SIZE);  // 0 or -1 where the system does not say
  const uint64_t wanted =
      std::clamp(4 * static_cast<uint64_t>(std::max(cache, 0L)), 256 * kMiB, kGiB);
  const uint64_t allowed = std::max(line_bytes, 64 * kMiB);
  return std::min(wanted, allowed) / kernels::kPeakReadBytes * kernels::kPeakReadBytes;
}

Result<MachinePeak> MeasurePeak(const kernels::KernelSet& kernels, size_t n_threads,
                                uint64_t buffer_bytes) {
  memory::Ledger ledger(buffer_bytes);
  auto buffer = memory::Buffer::Allocate(ledger, memory::Account::kScratch, buffer_bytes,
                                         "measuring the memory");
  if (!buffer) {
    return Forward(buffer);
  }
  std::memset(buffer->data(), 1, buffer->size());  // pages that were never written are not there
  kernels::Team team(n_threads);
  const kernels::PeakLoops& loops = kernels::PeakLoopsOf(kernels);
  return MachinePeak{
      .read_bytes = ReadRate(team, loops, buffer->span()),
      .int8_dots = ArithmeticRate(team, loops.int8_dots),
      .fmas = ArithmeticRate(team, loops.fmas),
  };
}

std::optional<MachinePeak> KnownPeak(const kernels::KernelSet& kernels, size_t n_threads) {
  const auto known = io::MeasurementCache::OfUser().Load(PeakKey(kernels, n_threads), kAge);
  if (!known || known->size() != 3) {
    return std::nullopt;
  }
  return MachinePeak{
      .read_bytes = (*known)[0].value, .int8_dots = (*known)[1].value, .fmas = (*known)[2].value};
}

Result<MachinePeak> CachedPeak(const kernels::KernelSet& kernels, size_t n_threads,
                               uint64_t buffer_bytes, bool anew) {
  if (const auto known = anew ? std::nullopt : KnownPeak(kernels, n_threads)) {
    return *known;
  }
  auto peak = MeasurePeak(kernels, n_threads, buffer_bytes);
  if (peak) {
    static_cast<void>(io::MeasurementCache::OfUser().Store(
        PeakKey(kernels, n_threads),
        {{0, 0, peak->read_bytes}, {1, 0, peak->int8_dots}, {2, 0, peak->fmas}}));
  }
  return peak;
}

double MeasureReadRate(const kernels::KernelSet& kernels, size_t n_threads,
                       std::span<const std::byte> memory) {
  kernels::Team team(n_threads);
  return ReadRate(team, kernels::PeakLoopsOf(kernels), memory);
}

}  // namespace plimsoll::bench
