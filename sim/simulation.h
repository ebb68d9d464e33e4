// One seed's run: a model's routers speak, its pager reads from a disk that is slow and fails, and
// the line moves; what must always hold is looked at after each step (docs/paging.md).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "io/fake_disk.h"
#include "io/faulty_backend.h"
#include "memory/ledger.h"
#include "memory/pager.h"
#include "sim/checked_policy.h"
#include "sim/draws.h"
#include "sim/findings.h"
#include "sim/routing.h"
#include "sim/scenario.h"
#include "sim/watched_backend.h"

namespace plimsoll::sim {

// How often what a simulation is about happened, in all runs together: one that never happens
// makes the others' success worth nothing.
struct Tally {
  uint64_t rounds = 0;
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t joined = 0;
  uint64_t rounds_failed = 0;
  uint64_t rounds_abandoned = 0;
  uint64_t pages_failed = 0;
  uint64_t evictions = 0;
  uint64_t guesses_used = 0;
  uint64_t guesses_dropped = 0;
  uint64_t short_reads = 0;
  uint64_t interruptions = 0;
  uint64_t retries = 0;
  uint64_t line_lowered = 0;
  uint64_t line_raised = 0;
  uint64_t stalls = 0;
  uint64_t checksums_refused = 0;
  uint64_t files_cut_short = 0;
  uint64_t lines_too_small = 0;
  uint64_t ends_under_way = 0;  // of the pager, with reads under way
};

struct NamedCount {
  std::string_view name;
  uint64_t Tally::*count;
};
[[nodiscard]] std::span<const NamedCount> NamedCounts();

class Simulation {
 public:
  Simulation(uint64_t seed, bool trace);

  // Until the end or the first invariant that breaks.
  void Run();
  [[nodiscard]] const Findings& findings() const { return findings_; }
  void AddTo(Tally& tally) const;

 private:
  [[nodiscard]] bool Start();
  void Turn();
  void Pass(uint32_t n_tokens, memory::Phase phase);
  void Recover();
  void Finish();

  // A round from Want to its end.
  void ServeLayer(uint32_t layer, uint32_t n_tokens, memory::Phase phase);
  void Serve(std::span<const memory::PageId> pages, memory::Phase phase, memory::WantOrder order,
             bool may_abandon);
  void Take(std::span<const memory::PageId> pages, std::span<const uint32_t> ready,
            memory::WantOrder order);
  void TakeBack();
  void OnRoundFailed(std::span<const memory::PageId> pages, const Error& error);
  void Compute();
  void Guess(uint32_t layer);
  [[nodiscard]] bool HoldsItsBytes(memory::PageId page);
  [[nodiscard]] std::chrono::nanoseconds NextBound(size_t n_pages) const;

  // The world around it.
  void SetMood(const DiskMood& mood);
  [[nodiscard]] bool MayFail();
  void MoveLine();
  void Lower(uint64_t bytes);
  void Raise(uint64_t bytes);
  void SpoilPage();
  void CutFile();

  void CheckLedger();
  void CheckStep();

  Findings findings_;
  Scenario scenario_;
  Draws draws_;
  Routing routing_;
  io::VirtualClock clock_;
  std::optional<memory::Ledger> ledger_;
  std::optional<memory::policy::PageLayout> layout_;
  std::shared_ptr<const io::File> file_;
  Protected in_use_;
  std::unique_ptr<memory::Pager> pager_;
  // The pager's parts.
  io::FakeDisk* disk_ = nullptr;
  io::FaultyBackend* faulty_ = nullptr;
  WatchedBackend* watched_ = nullptr;
  CheckedPolicy* policy_ = nullptr;

  std::vector<memory::Reservation> others_;  // the rest of the engine's share of the line
  uint64_t others_bytes_ = 0;
  DiskMood mood_;
  std::chrono::nanoseconds dead_until_{};
  bool was_failing_ = false;  // and reads of that time are still under way
  bool cut_short_ = false;
  std::vector<bool> spoilt_;   // its bytes are not those that were written
  std::vector<bool> refused_;  // what was read of it last was found to be spoilt
  std::vector<memory::PageId> given_;
  std::vector<bool> was_given_;  // of the round, by index
  uint32_t last_given_ = 0;
  std::vector<std::byte> expected_;
  Tally tally_;
};

}  // namespace plimsoll::sim
