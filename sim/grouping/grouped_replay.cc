#include "sim/grouping/grouped_replay.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "engine/order/decode_turns.h"
#include "memory/policy/make_policy.h"
#include "memory/replay/slots.h"

namespace plimsoll::sim {
namespace {

using engine::order::Decoder;
using memory::policy::PageId;
using memory::policy::PageLayout;

PageLayout LayoutOf(const Workload& workload) {
  std::vector<uint32_t> n_pages;
  for (const auto& layer : workload.layers) {
    n_pages.push_back(layer.n_experts);
  }
  return PageLayout(n_pages);
}

class GroupedRun {
 public:
  GroupedRun(const Workload& workload, const engine::TokenWork& work,
             const engine::MachineSpeed& speed, const GroupedOptions& options)
      : workload_(workload),
        work_(work),
        speed_(speed),
        options_(options),
        layout_(LayoutOf(workload)),
        policy_(std::move(*memory::policy::MakePolicy("forecast", layout_))),
        slots_(*policy_, layout_.n_pages(), options.n_slots),
        turns_(layout_.n_pages(),
               static_cast<double>(work.dense_bytes) /
                   static_cast<double>(work.experts.front().expert_bytes),
               options.limits),
        position_(workload.streams.size(), 0),
        last_(workload.streams.size(), 0),
        served_(workload.streams.size(), false),
        seen_(layout_.n_pages(), 0) {
    for (size_t i = 0; i < workload.streams.size(); ++i) {
      decoders_.push_back(std::make_unique<Decoder>(layout_));
      decoder_of_.push_back(decoders_.back().get());
    }
  }

  GroupedReport Go() {
    const uint64_t n = workload_.streams.size();
    const uint64_t end = n * options_.n_tokens * 3 / 2;
    const uint64_t begin = n * options_.n_tokens / 2;
    uint64_t n_tokens = 0;
    while (n_tokens < end) {
      Choose();
      Step(n_tokens >= begin);
      n_tokens += group_.size();
    }
    const double counted = n_counted_;
    report_.misses_per_token /= counted;
    report_.used_per_token /= counted;
    report_.seconds_per_token /= counted;
    report_.grouped_share /= counted;
    return report_;
  }

 private:
  void Choose() {
    if (options_.by == GroupBy::kExpertUnion) {
      const auto chosen = turns_.Choose(decoder_of_, options_.n_slots, seconds_);
      group_.assign(chosen.begin(), chosen.end());
    } else if (options_.by == GroupBy::kTogether) {
      group_.resize(workload_.streams.size());
      std::iota(group_.begin(), group_.end(), 0U);
    } else if (n_steps_ % options_.turn_steps == 0) {
      ChooseFixed();
    }
    ++n_steps_;
  }

  // Each sequence has one turn a round.
  void ChooseFixed() {
    std::vector<uint32_t> left = Unserved();
    if (left.empty()) {
      std::fill(served_.begin(), served_.end(), false);
      left = Unserved();
    }
    std::vector<float> nobody(layout_.n_pages(), 1);
    group_.clear();
    while (group_.size() < options_.group && !left.empty()) {
      size_t best = 0;
      if (options_.by != GroupBy::kArrival && !group_.empty()) {
        const auto adds = [&](uint32_t stream) {
          const auto use = UseOf(stream);
          return std::inner_product(use.begin(), use.end(), nobody.begin(), 0.0F);
        };
        best = static_cast<size_t>(std::ranges::min_element(left, {}, adds) - left.begin());
      }
      const auto use = UseOf(left[best]);
      for (size_t page = 0; page < nobody.size(); ++page) {
        nobody[page] *= 1 - std::min(use[page], 1.0F);
      }
      served_[left[best]] = true;
      group_.push_back(left[best]);
      left.erase(left.begin() + static_cast<ptrdiff_t>(best));
    }
  }

  [[nodiscard]] std::vector<uint32_t> Unserved() const {
    std::vector<uint32_t> left;
    for (uint32_t i = 0; i < served_.size(); ++i) {
      if (!served_[i]) {
        left.push_back(i);
      }
    }
    return left;
  }

  [[nodiscard]] std::vector<float> UseOf(uint32_t stream) const {
    const auto lately = decoders_[stream]->rates.pages();
    std::vector<float> use(lately.begin(), lately.end());
    if (options_.by == GroupBy::kFuture) {
      std::ranges::fill(use, 0.0F);
      for (uint32_t step = 0; step < options_.turn_steps; ++step) {
        for (uint32_t layer = 0; layer < layout_.n_layers(); ++layer) {
          for (const uint32_t expert : workload_.Experts(stream, position_[stream] + step, layer)) {
            use[layout_.page(layer, expert).value] += 1 / static_cast<float>(options_.turn_steps);
          }
        }
      }
    }
    return use;
  }

  void Step(bool counted) {
    std::vector<engine::LayerPass> layers;
    engine::order::DecodeMeasure measure = {.n_tokens = static_cast<uint32_t>(group_.size())};
    for (uint32_t layer = 0; layer < layout_.n_layers(); ++layer) {
      if (layout_.n_pages(layer) == 0) {
        continue;
      }
      Route(layer);
      const memory::policy::LayerVisit visit = {.layer = layer,
                                                .step = n_steps_,
                                                .n_tokens = measure.n_tokens,
                                                .experts = experts_,
                                                .probabilities = {},
                                                .near_experts = {},
                                                .near_probabilities = {}};
      const uint64_t missed = slots_.Serve(visit, pages_);
      layers.push_back({static_cast<uint32_t>(pages_.size()), static_cast<uint32_t>(missed)});
      measure.n_used += pages_.size();
      measure.n_missed += missed;
    }
    measure.seconds = BoundOfPass(work_, speed_, measure.n_tokens, layers);
    for (engine::LayerPass& pass : layers) {
      pass.missing = 0;
    }
    measure.waited = measure.seconds - BoundOfPass(work_, speed_, measure.n_tokens, layers);
    turns_.Measure(measure);
    Note(measure, counted);
  }

  // What the layer's routers choose for the group's next tokens.
  void Route(uint32_t layer) {
    experts_.clear();
    pages_.clear();
    ++n_routed_;
    for (const uint32_t stream : group_) {
      const auto chosen = workload_.Experts(stream, position_[stream], layer);
      decoders_[stream]->rates.Use(layer, chosen);
      experts_.insert(experts_.end(), chosen.begin(), chosen.end());
      for (const uint32_t expert : chosen) {
        const PageId page = layout_.page(layer, expert);
        if (std::exchange(seen_[page.value], n_routed_) != n_routed_) {
          pages_.push_back(page);
        }
      }
    }
  }

  void Note(const engine::order::DecodeMeasure& measure, bool counted) {
    for (const uint32_t stream : group_) {
      ++position_[stream];
      if (counted) {
        report_.longest_still = std::max(report_.longest_still, seconds_ - last_[stream]);
      }
      last_[stream] = seconds_ + measure.seconds;
    }
    seconds_ += measure.seconds;
    if (!counted) {
      return;
    }
    n_counted_ += measure.n_tokens;
    report_.misses_per_token += static_cast<double>(measure.n_missed);
    report_.used_per_token += static_cast<double>(measure.n_used);
    report_.seconds_per_token += measure.seconds;
    report_.grouped_share += group_.size() < workload_.streams.size() ? measure.n_tokens : 0;
  }

  const Workload& workload_;
  const engine::TokenWork& work_;
  const engine::MachineSpeed& speed_;
  const GroupedOptions& options_;
  PageLayout layout_;
  std::unique_ptr<memory::policy::Policy> policy_;
  memory::replay::Slots slots_;
  engine::order::DecodeTurns turns_;
  std::vector<std::unique_ptr<Decoder>> decoders_;
  std::vector<Decoder*> decoder_of_;
  std::vector<uint64_t> position_;
  std::vector<double> last_;  // when each had its last token
  std::vector<bool> served_;
  std::vector<uint64_t> seen_;  // by page: the visit that used it last
  std::vector<uint32_t> group_;
  std::vector<uint32_t> experts_;
  std::vector<PageId> pages_;
  uint64_t n_steps_ = 0;
  uint64_t n_routed_ = 0;
  double seconds_ = 0;
  double n_counted_ = 0;
  GroupedReport report_;
};

}  // namespace

GroupedReport ReplayInGroups(const Workload& workload, const engine::TokenWork& work,
                             const engine::MachineSpeed& speed, const GroupedOptions& options) {
  return GroupedRun(workload, work, speed, options).Go();
}

}  // namespace plimsoll::sim
