// Which experts of a model were used much, kept from one run to the next: a hint what to hold in
// memory before the routers have spoken. Never a pin: what a text is about decides which experts it
// uses, and the next text may be about something else.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/measurement_cache.h"
#include "memory/policy/policy.h"

namespace plimsoll::engine {

struct HotSet {
  double n_tokens = 0;            // that it was learned from, earlier ones counting less
  std::vector<float> popularity;  // uses a token, of each page
};

// After so many tokens of another run an earlier one counts half.
inline constexpr double kHotSetHalfLife = 4096;
// Fewer say nothing that the next run would not learn as fast.
inline constexpr uint64_t kHotSetTokensMin = 16;

// Both of the same pages.
[[nodiscard]] HotSet Merge(const HotSet& earlier, HotSet later);

// `model` tells models apart (ProfileName in miss_curve.h). Nothing when there is none; kBadModel,
// naming the file, when there is something else in its place or it has pages that `layout` has not.
[[nodiscard]] Result<std::optional<HotSet>> LoadHotSet(const io::MeasurementCache& cache,
                                                       std::string_view model,
                                                       const memory::policy::PageLayout& layout);
// Merged with what is there. kIo when it cannot be written; that costs the next run its hint, and
// nothing else.
Result<> RememberHotSet(const io::MeasurementCache& cache, std::string_view model,
                        const memory::policy::PageLayout& layout, HotSet hot_set);

}  // namespace plimsoll::engine
