#include "engine/hot_set.h"

#include <chrono>
#include <cmath>
#include <string>

#include <fmt/format.h>

namespace plimsoll::engine {
namespace {

// A year: how a model routes does not change with the machine.
constexpr std::chrono::seconds kAge = std::chrono::hours(365 * 24);
constexpr double kSteps = 1e4;  // of a stored popularity, which lies in [0, 1]
constexpr double kTokensMax = 1e12;

// Row 0 has the tokens; row l + 1 layer l, a column an expert.
constexpr uint64_t kTokensRow = 0;

std::string KeyOf(std::string_view model, const memory::policy::PageLayout& layout) {
  return fmt::format("hot set of {} layers, {} experts, {}", layout.n_layers(), layout.n_pages(),
                     model);
}

// Whether the measurement may be one of a hot set; then it is in `hot_set`.
bool Take(const io::Measurement& m, const memory::policy::PageLayout& layout, HotSet& hot_set) {
  if (m.row == kTokensRow) {
    hot_set.n_tokens = m.value;
    return m.column == 0 && m.value >= 0 && m.value <= kTokensMax;
  }
  if (m.row > layout.n_layers() || m.value < 0 || m.value > 1) {
    return false;
  }
  const auto layer = static_cast<uint32_t>(m.row - 1);
  if (m.column >= layout.n_pages(layer)) {
    return false;
  }
  const memory::policy::PageId page = layout.page(layer, static_cast<uint32_t>(m.column));
  hot_set.popularity[page.value] = static_cast<float>(m.value);
  return true;
}

}  // namespace

HotSet Merge(const HotSet& earlier, HotSet later) {
  const double weight = earlier.n_tokens * std::exp2(-later.n_tokens / kHotSetHalfLife);
  const double all = weight + later.n_tokens;
  const auto share = static_cast<float>(all > 0 ? weight / all : 0);
  for (size_t i = 0; i < later.popularity.size(); ++i) {
    later.popularity[i] = std::lerp(later.popularity[i], earlier.popularity[i], share);
  }
  later.n_tokens = all;
  return later;
}

Result<std::optional<HotSet>> LoadHotSet(const io::MeasurementCache& cache, std::string_view model,
                                         const memory::policy::PageLayout& layout) {
  const std::string key = KeyOf(model, layout);
  const auto known = cache.Read(key, kAge);
  if (!known) {
    return tl::unexpected(known.error());
  }
  if (!*known) {
    return std::nullopt;
  }
  HotSet hot_set = {.popularity = std::vector<float>(layout.n_pages(), 0)};
  for (const io::Measurement& m : **known) {
    if (!Take(m, layout, hot_set)) {
      return Fail(ErrorKind::kBadModel, "{}: row {}, column {} is no expert's popularity",
                  cache.PathOf(key).string(), m.row, m.column);
    }
  }
  return hot_set;
}

Result<> RememberHotSet(const io::MeasurementCache& cache, std::string_view model,
                        const memory::policy::PageLayout& layout, HotSet hot_set) {
  if (const auto earlier = LoadHotSet(cache, model, layout); earlier && *earlier) {
    hot_set = Merge(**earlier, std::move(hot_set));
  }
  std::vector<io::Measurement> measurements = {{kTokensRow, 0, std::round(hot_set.n_tokens)}};
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    for (uint32_t expert = 0; expert < layout.n_pages(layer); ++expert) {
      const float popularity = hot_set.popularity[layout.page(layer, expert).value];
      const double rounded = std::round(popularity * kSteps) / kSteps;
      if (rounded > 0) {
        measurements.push_back({uint64_t{layer} + 1, expert, rounded});
      }
    }
  }
  return cache.Store(KeyOf(model, layout), measurements);
}

}  // namespace plimsoll::engine
