#include "bench/plan.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace plimsoll::bench {
namespace {

constexpr uint64_t kCountMax = uint64_t{1} << 30;
constexpr size_t kValuesMax = 1000;

// Takes a number off the front.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || value > kCountMax) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

bool TakeSign(std::string_view& text, char sign) {
  if (!text.starts_with(sign)) {
    return false;
  }
  text.remove_prefix(1);
  return true;
}

struct Range {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t step = 1;
  bool multiplies = false;

  // Whether every value is above the one before it.
  [[nodiscard]] bool ascends() const {
    return first <= last && (multiplies ? step > 1 && first > 0 : step > 0);
  }
};

// FIRST, FIRST-LAST, FIRST-LAST+STEP or FIRST-LAST*FACTOR, and nothing behind it.
std::optional<Range> ReadRange(std::string_view text) {
  const auto first = TakeNumber(text);
  if (!first) {
    return std::nullopt;
  }
  Range range = {.first = *first, .last = *first};
  if (TakeSign(text, '-')) {
    const auto last = TakeNumber(text);
    if (!last) {
      return std::nullopt;
    }
    range.last = *last;
    range.multiplies = TakeSign(text, '*');
    if (range.multiplies || TakeSign(text, '+')) {
      const auto step = TakeNumber(text);
      if (!step) {
        return std::nullopt;
      }
      range.step = *step;
    }
  }
  return text.empty() && range.ascends() ? std::optional(range) : std::nullopt;
}

}  // namespace

std::string BenchTest::Name() const {
  std::string name = n_prompt == 0 ? "" : "pp" + std::to_string(n_prompt);
  if (n_gen != 0) {
    name += (name.empty() ? "tg" : "+tg") + std::to_string(n_gen);
  }
  return n_depth == 0 ? name : name + " @ d" + std::to_string(n_depth);
}

std::vector<BenchTest> MakeTests(const TestLists& lists) {
  std::vector<BenchTest> tests;
  for (const uint32_t depth : lists.n_depth) {
    const auto add = [&](uint32_t n_prompt, uint32_t n_gen) {
      if (n_prompt + n_gen > 0) {
        tests.push_back({.n_prompt = n_prompt, .n_gen = n_gen, .n_depth = depth});
      }
    };
    for (const uint32_t n_prompt : lists.n_prompt) {
      add(n_prompt, 0);
    }
    for (const uint32_t n_gen : lists.n_gen) {
      add(0, n_gen);
    }
    for (const auto& [n_prompt, n_gen] : lists.prompt_gen) {
      add(n_prompt, n_gen);
    }
  }
  return tests;
}

Result<std::vector<uint32_t>> ParseCounts(std::string_view text) {
  std::vector<uint32_t> counts;
  for (std::string_view rest = text;;) {
    const size_t comma = std::min(rest.find(','), rest.size());
    const auto range = ReadRange(rest.substr(0, comma));
    if (!range) {
      return Fail(ErrorKind::kUsage,
                  "\"{}\" is not a list such as 512, 128,256, 1-4, 128-512+128 or 1-8*2", text);
    }
    for (uint64_t value = range->first; value <= range->last;
         value = range->multiplies ? value * range->step : value + range->step) {
      if (counts.size() == kValuesMax) {
        return Fail(ErrorKind::kUsage, "\"{}\" is more than {} numbers", text, kValuesMax);
      }
      counts.push_back(static_cast<uint32_t>(value));
    }
    if (comma == rest.size()) {
      return counts;
    }
    rest.remove_prefix(comma + 1);
  }
}

Result<std::pair<uint32_t, uint32_t>> ParsePromptGen(std::string_view text) {
  std::string_view rest = text;
  const auto n_prompt = TakeNumber(rest);
  const bool separated = TakeSign(rest, ',');
  const auto n_gen = TakeNumber(rest);
  if (!n_prompt || !separated || !n_gen || !rest.empty() || *n_prompt + *n_gen == 0) {
    return Fail(ErrorKind::kUsage, "\"{}\" is not a pair such as 512,128", text);
  }
  return std::pair(static_cast<uint32_t>(*n_prompt), static_cast<uint32_t>(*n_gen));
}

}  // namespace plimsoll::bench
