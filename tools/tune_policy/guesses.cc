#include "tools/tune_policy/guesses.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "memory/policy/forecast.h"
#include "memory/policy/guess_gate.h"
#include "memory/policy/layer_pairs.h"
#include "memory/replay/replay.h"

namespace plimsoll::tune_policy {
namespace {

using memory::policy::Forecast;
using memory::policy::GuessGate;
using memory::policy::LayerPairs;
using memory::policy::LayerVisit;
using memory::policy::PageId;
using memory::policy::PageLayout;
using memory::policy::PageSet;
using memory::policy::Phase;

// The default policy, with guesses at each layer just before it speaks.
class Guessing final : public memory::policy::Policy {
 public:
  explicit Guessing(const PageLayout& layout)
      : layout_(layout),
        forecast_(layout),
        pairs_(layout),
        gate_(layout),
        resident_(layout.n_pages(), false) {}

  void Visit(const LayerVisit& visit) override {
    if (visit.phase == Phase::kDecode && visit.layer > 0) {
      Guess(visit);
    }
    gate_.Visit(visit);
    pairs_.Visit(visit);
    forecast_.Visit(visit);
  }
  void Admit(PageId page) override {
    resident_[page.value] = true;
    forecast_.Admit(page);
  }
  void Evict(PageId page) override {
    resident_[page.value] = false;
    forecast_.Evict(page);
  }
  [[nodiscard]] std::optional<PageId> ChooseVictim(std::optional<PageId> incoming,
                                                   const PageSet& candidates) override {
    return forecast_.ChooseVictim(incoming, candidates);
  }
  void SetCapacity(uint32_t n_slots) override { forecast_.SetCapacity(n_slots); }

  [[nodiscard]] const GuessCounts& counts() const { return counts_; }

 private:
  void Guess(const LayerVisit& visit) {
    std::vector<float> expected(layout_.n_pages(visit.layer));
    pairs_.Expect(expected);
    std::vector<uint32_t> ranked(expected.size());
    std::iota(ranked.begin(), ranked.end(), 0U);
    std::ranges::stable_sort(ranked, std::greater(),
                             [&](uint32_t expert) { return expected[expert]; });
    ranked.resize(std::min(ranked.size(), visit.n_active()));
    const auto is_used = [&](PageId page) {
      return std::ranges::find(visit.experts, page.value - layout_.begin(visit.layer)) !=
             visit.experts.end();
    };
    const auto worth =
        gate_.Choose(visit.layer, ranked, [&](PageId page) { return !resident_[page.value]; });
    counts_.worth += worth.size();
    counts_.worth_right += static_cast<uint64_t>(std::ranges::count_if(worth, is_used));
    for (const uint32_t expert : ranked) {
      const PageId page = layout_.page(visit.layer, expert);
      counts_.guesses += resident_[page.value] ? 0U : 1U;
      counts_.guesses_right += !resident_[page.value] && is_used(page) ? 1U : 0U;
    }
  }

  const PageLayout& layout_;
  Forecast forecast_;
  LayerPairs pairs_;
  GuessGate gate_;
  std::vector<bool> resident_;
  GuessCounts counts_;
};

}  // namespace

GuessCounts GuessByPairs(const memory::replay::ReferenceStream& stream, uint32_t n_slots) {
  Guessing policy(stream.layout());
  const auto replayed = memory::replay::Replay(stream, policy, n_slots);
  GuessCounts counts = policy.counts();
  counts.missing = replayed.decode.misses;
  return counts;
}

}  // namespace plimsoll::tune_policy
