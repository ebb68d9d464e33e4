#include "bench/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <span>

#include <unistd.h>

#include "base/bytes.h"
#include "kernels/peak_loops.h"
#include "kernels/team.h"
#include "memory/buffer.h"

namespace plimsoll::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSecondsEach = 0.15;
constexpr int kRoundsMin = 5;
constexpr size_t kSlicesPerThread = 8;
constexpr size_t kArithmeticRounds = 20'000;  // well under a millisecond

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// `round` does some work and returns how much; the best rate of many rounds.
template <class Round>
double BestRate(const Round& round) {
  double best = 0;
  const auto start = Clock::now();
  for (int i = 0; i < kRoundsMin || SecondsSince(start) < kSecondsEach; ++i) {
    const auto began = Clock::now();
    const auto work = static_cast<double>(round());
    best = std::max(best, work / SecondsSince(began));
  }
  return best;
}

// All threads read slices of the buffer until it is read once.
uint64_t ReadOnce(kernels::Team& team, const kernels::PeakLoops& loops,
                  std::span<const std::byte> buffer) {
  const size_t n_slices =
      std::min(team.n_threads() * kSlicesPerThread, buffer.size() / kernels::kPeakReadBytes);
  const size_t slice = buffer.size() / n_slices / kernels::kPeakReadBytes * kernels::kPeakReadBytes;
  team.Run(n_slices, [&](size_t i, size_t /*thread*/) {
    [[maybe_unused]] const volatile uint64_t sum = loops.read(buffer.data() + i * slice, slice);
  });
  return n_slices * slice;
}

// Every thread does the same; the sum of what they did.
uint64_t Compute(kernels::Team& team, uint64_t (*loop)(size_t)) {
  const uint64_t each = kArithmeticRounds * loop(1);
  team.Run(team.n_threads(), [&](size_t /*i*/, size_t /*thread*/) {
    [[maybe_unused]] const volatile uint64_t done = loop(kArithmeticRounds);
  });
  return team.n_threads() * each;
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
      .read_bytes = BestRate([&] { return ReadOnce(team, loops, buffer->span()); }),
      .int8_dots = BestRate([&] { return Compute(team, loops.int8_dots); }),
      .fmas = BestRate([&] { return Compute(team, loops.fmas); }),
  };
}

}  // namespace plimsoll::bench
