#include "server/batch/batch_order.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

namespace plimsoll::server::batch {
namespace {

// Rows from `begin` to `end` in lexicographic order that have their first `depth` blocks in common.
struct Range {
  size_t begin = 0;
  size_t end = 0;
  size_t depth = 0;
};

double OutputShare(std::span<const PromptShape> prompts, std::span<const size_t> rows) {
  double n_prompt = 0;
  double n_output = 0;
  for (const size_t row : rows) {
    n_prompt += prompts[row].n_prompt;
    n_output += prompts[row].n_output;
  }
  return n_output / std::max(n_prompt, 1.0);
}

// How many blocks all of a sorted range have in common: those of its first and its last.
size_t CommonBlocks(const PromptShape& first, const PromptShape& last) {
  const auto [a, b] = std::ranges::mismatch(first.blocks, last.blocks);
  return static_cast<size_t>(a - first.blocks.begin());
}

// The parts of a range behind what is common to all of it, by their shares.
std::vector<Range> Parts(std::span<const PromptShape> prompts, std::span<const size_t> sorted,
                         const Range& range) {
  const size_t depth = CommonBlocks(prompts[sorted[range.begin]], prompts[sorted[range.end - 1]]);
  const auto next = [&](size_t i) -> std::optional<uint64_t> {
    const auto& blocks = prompts[sorted[i]].blocks;
    return blocks.size() > depth ? std::optional(blocks[depth]) : std::nullopt;
  };
  std::vector<Range> parts;
  for (size_t i = range.begin; i < range.end; ++i) {
    // One that ends here is a part of its own.
    if (i == range.begin || !next(i) || next(i) != next(i - 1)) {
      parts.push_back({i, i, depth + 1});
    }
    parts.back().end = i + 1;
  }
  std::ranges::stable_sort(parts, std::greater<>(), [&](const Range& part) {
    return OutputShare(prompts, sorted.subspan(part.begin, part.end - part.begin));
  });
  return parts;
}

}  // namespace

PromptShape ShapeOf(std::span<const TokenId> prompt, double n_output) {
  PromptShape shape = {
      .blocks = {}, .n_prompt = static_cast<double>(prompt.size()), .n_output = n_output};
  uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a, mixed
  for (size_t i = 0; i < prompt.size(); ++i) {
    hash = (hash ^ static_cast<uint32_t>(prompt[i])) * 0x100000001B3U;
    hash ^= hash >> 29;
    if ((i + 1) % kTokensOfBlock == 0) {
      shape.blocks.push_back(hash);
    }
  }
  return shape;
}

std::vector<size_t> OrderByPrefix(std::span<const PromptShape> prompts) {
  std::vector<size_t> sorted(prompts.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::ranges::stable_sort(
      sorted, {}, [&](size_t i) -> const std::vector<uint64_t>& { return prompts[i].blocks; });
  std::vector<size_t> order;
  std::vector<Range> open = {{0, sorted.size(), 0}};  // the next one last
  while (!open.empty()) {
    const Range range = open.back();
    open.pop_back();
    if (range.end - range.begin == 1) {
      order.push_back(sorted[range.begin]);
    } else if (range.end > range.begin) {
      const std::vector<Range> parts = Parts(prompts, sorted, range);
      open.insert(open.end(), parts.rbegin(), parts.rend());
    }
  }
  return order;
}

}  // namespace plimsoll::server::batch
