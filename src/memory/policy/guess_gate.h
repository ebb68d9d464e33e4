// Which guesses at the next layer's pages are worth a read.
//
// A guess that comes true costs nothing and saves a wait; one that does not costs the read and the
// page that lost its frame for it. How often guesses come true depends on the model, the layer and
// how far down its ranking one goes, so that is measured as the model runs, of every guess whether
// it was read or not: a layer whose guesses fail is left alone until they would have come true.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

// Where guesses come from.
enum class GuessBy : uint8_t {
  kNothing,
  kRouter,  // the next layer's router, applied before this layer has added its part
  kPairs,   // what went with this layer's experts before (layer_pairs.h)
};
// "router", "pairs" or "off"; "": the default. kUsage, with these, when it is none of them.
[[nodiscard]] Result<GuessBy> GuessByNamed(std::string_view name);

// Not thread-safe. Allocates when it is made.
class GuessGate {
 public:
  static constexpr uint32_t kRanks = 16;

  struct Stats {
    uint64_t judged = 0;  // guesses at pages that were missing, read or not
    uint64_t right = 0;   // of these, used by the layer
  };

  explicit GuessGate(const PageLayout& layout);

  // The guesses at a layer's experts, the likeliest first, all of one moment. Those at pages that
  // are missing will be judged by the layer's next Visit; gives those of them that are worth a
  // read. Valid until the next call. is_missing(PageId).
  template <class F>
  [[nodiscard]] std::span<const PageId> Choose(uint32_t layer,
                                               std::span<const uint32_t> likeliest_first,
                                               const F& is_missing) {
    Begin(layer);
    for (uint32_t rank = 0; rank < likeliest_first.size() && rank < kRanks; ++rank) {
      const PageId page = layout_.page(layer, likeliest_first[rank]);
      if (is_missing(page)) {
        Add(page, rank);
      }
    }
    return worth_;
  }
  void Visit(const LayerVisit& visit);

  // The chance that a guess at a missing page comes true, going by those so far.
  [[nodiscard]] float Chance(uint32_t layer, uint32_t rank) const;
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  // Both fade, so that the chance is that of late.
  struct Record {
    float judged = 0;
    float right = 0;

    void Add(bool came_true, float keep);
  };
  struct Guess {
    PageId page;
    uint32_t rank = 0;
  };

  void Begin(uint32_t layer);
  void Add(PageId page, uint32_t rank);

  const PageLayout& layout_;
  std::vector<std::array<Record, kRanks>> of_layer_;  // [n_layers]
  std::array<Record, kRanks> of_all_;                 // layers
  uint32_t layer_ = 0;                                // of the guesses
  std::vector<Guess> guesses_;
  std::vector<PageId> worth_;
  Stats stats_;
};

}  // namespace plimsoll::memory::policy
