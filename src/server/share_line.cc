#include "server/share_line.h"

#include <algorithm>
#include <numeric>

namespace plimsoll::server {
namespace {

// bytes * part / whole, without overflow and rounded down; part <= whole.
uint64_t Proportion(uint64_t bytes, uint64_t part, uint64_t whole) {
  __extension__ using Wide = unsigned __int128;
  return whole == 0 ? 0 : static_cast<uint64_t>(Wide{bytes} * part / whole);
}

// As much as `a + b` can be.
uint64_t Plus(uint64_t a, uint64_t b) { return b > UINT64_MAX - a ? UINT64_MAX : a + b; }

uint64_t Sum(const std::vector<uint64_t>& values) {
  return std::accumulate(values.begin(), values.end(), uint64_t{0}, Plus);
}

// Adds `bytes` to the lines, in proportion to `weights`.
void Divide(std::vector<uint64_t>& lines, const std::vector<uint64_t>& weights, uint64_t bytes) {
  const uint64_t whole = Sum(weights);
  uint64_t given = 0;
  for (size_t i = 0; i < lines.size(); ++i) {
    // Where the sum is no sum any more, for being too large, the first come first.
    const uint64_t share = std::min(Proportion(bytes, weights[i], whole), bytes - given);
    lines[i] += share;
    given += share;
  }
}

std::vector<uint64_t> Lacks(std::span<const LineWish> wishes, const std::vector<uint64_t>& lines,
                            uint64_t LineWish::*level) {
  std::vector<uint64_t> lacks(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    lacks[i] = wishes[i].*level - std::min(wishes[i].*level, lines[i]);
  }
  return lacks;
}

// Whether those tenants that have not `gone` can have this with the newcomer.
bool Fits(std::span<const Tenant> tenants, const std::vector<size_t>& gone,
          const LineWish& newcomer, uint64_t line, uint64_t LineWish::*level) {
  uint64_t sum = newcomer.*level;
  for (size_t i = 0; i < tenants.size(); ++i) {
    if (std::ranges::find(gone, i) == gone.end()) {
      sum = Plus(sum, tenants[i].wish.*level);
    }
  }
  return sum <= line;
}

}  // namespace

std::optional<std::vector<uint64_t>> ShareLine(std::span<const LineWish> wishes, uint64_t line) {
  std::vector<uint64_t> lines(wishes.size());
  uint64_t least = 0;
  for (const LineWish& wish : wishes) {
    least = Plus(least, wish.least);
  }
  if (least > line) {
    return std::nullopt;
  }
  uint64_t left = line;
  for (uint64_t LineWish::*const level : {&LineWish::least, &LineWish::good, &LineWish::all}) {
    const std::vector<uint64_t> lacks = Lacks(wishes, lines, level);
    const uint64_t given = std::min(left, Sum(lacks));
    Divide(lines, lacks, given);
    left -= given;
  }
  std::vector<uint64_t> sizes(wishes.size());
  std::ranges::transform(wishes, sizes.begin(), &LineWish::all);
  Divide(lines, sizes, left);
  return lines;
}

std::optional<Eviction> MakeRoom(std::span<const Tenant> tenants, const LineWish& newcomer,
                                 uint64_t line) {
  if (newcomer.least > line) {
    return std::nullopt;
  }
  std::vector<size_t> order(tenants.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(
      order, [&](size_t a, size_t b) { return tenants[a].last_used < tenants[b].last_used; });
  Eviction eviction;
  for (const size_t i : order) {
    if (tenants[i].is_idle && !Fits(tenants, eviction.unload, newcomer, line, &LineWish::good)) {
      eviction.unload.push_back(i);
    }
  }
  for (const size_t i : order) {
    if (!tenants[i].is_idle && !Fits(tenants, eviction.unload, newcomer, line, &LineWish::least)) {
      eviction.unload.push_back(i);
      eviction.must_wait = true;
    }
  }
  return eviction;
}

}  // namespace plimsoll::server
