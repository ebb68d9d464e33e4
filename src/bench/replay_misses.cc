#include "bench/replay_misses.h"

#include <algorithm>

#include "memory/policy/forecast.h"
#include "memory/replay/belady.h"
#include "memory/replay/reference_stream.h"
#include "memory/replay/replay.h"

namespace plimsoll::bench {
namespace {

using memory::policy::LayerVisit;
using memory::policy::PageId;
using memory::policy::PageSet;
using memory::policy::Policy;
using memory::replay::ReferenceStream;

// A policy that is asked through it, and what each visit admitted.
class MissLog final : public Policy {
 public:
  explicit MissLog(Policy& policy) : policy_(policy) {}

  void Visit(const LayerVisit& visit) override {
    misses_.push_back(0);
    policy_.Visit(visit);
  }
  void Admit(PageId page) override {
    ++misses_.back();
    policy_.Admit(page);
  }
  void Evict(PageId page) override { policy_.Evict(page); }
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override {
    return policy_.ChooseVictim(incoming, candidates);
  }
  void SetCapacity(uint32_t n_slots) override { policy_.SetCapacity(n_slots); }

  [[nodiscard]] const std::vector<uint32_t>& misses() const { return misses_; }

 private:
  Policy& policy_;
  std::vector<uint32_t> misses_;  // [visits]
};

std::vector<uint32_t> MissesOfVisits(const ReferenceStream& stream, Policy& policy,
                                     uint32_t n_frames) {
  MissLog log(policy);
  static_cast<void>(Replay(stream, log, std::max(n_frames, 1U)));
  return log.misses();
}

}  // namespace

ReplayedMisses::ReplayedMisses(const memory::trace::Trace& trace, uint32_t n_frames) {
  const ReferenceStream stream(trace, memory::replay::PrefillAs::kChunk);
  memory::policy::Forecast policy(stream.layout());
  const auto misses = MissesOfVisits(stream, policy, n_frames);
  memory::replay::Belady belady(stream);
  const auto least = MissesOfVisits(stream, belady, n_frames);
  for (size_t i = 0; i < stream.size(); ++i) {
    const LayerVisit visit = stream.visit(i);
    if (i == 0 || visit.step != stream.visit(i - 1).step) {
      passes_.push_back({.n_tokens = visit.n_tokens, .layers = {}});
      n_decoded_ += visit.n_tokens == 1 ? 1 : 0;
    }
    Pass& pass = passes_.back();
    pass.belady_misses += least[i];
    pass.layers.push_back(
        {.touched = static_cast<uint32_t>(stream.pages(i).size()), .missing = misses[i]});
  }
}

double ReplayedMisses::BoundOf(const PassRange& passes, const engine::TokenWork& work,
                               const engine::MachineSpeed& speed) const {
  double seconds = 0;
  for (uint64_t i = passes.begin; i < std::min<uint64_t>(passes.end, passes_.size()); ++i) {
    seconds += BoundOfPass(work, speed, passes_[i].n_tokens, passes_[i].layers);
  }
  return seconds;
}

uint64_t ReplayedMisses::MissesOf(const PassRange& passes) const {
  uint64_t misses = 0;
  for (uint64_t i = passes.begin; i < std::min<uint64_t>(passes.end, passes_.size()); ++i) {
    for (const engine::LayerPass& layer : passes_[i].layers) {
      misses += layer.missing;
    }
  }
  return misses;
}

double ReplayedMisses::MissRatioOf(const PassRange& passes) const {
  uint64_t touched = 0;
  for (uint64_t i = passes.begin; i < std::min<uint64_t>(passes.end, passes_.size()); ++i) {
    for (const engine::LayerPass& layer : passes_[i].layers) {
      touched += layer.touched;
    }
  }
  return touched == 0 ? 0 : static_cast<double>(MissesOf(passes)) / static_cast<double>(touched);
}

uint64_t ReplayedMisses::BeladyMissesOf(const PassRange& passes) const {
  uint64_t misses = 0;
  for (uint64_t i = passes.begin; i < std::min<uint64_t>(passes.end, passes_.size()); ++i) {
    misses += passes_[i].belady_misses;
  }
  return misses;
}

}  // namespace plimsoll::bench
