#include "memory/replay/stack_distance.h"

#include <algorithm>

namespace plimsoll::memory::replay {
namespace {

using policy::PageId;
using policy::Phase;
using policy::Scope;

// Sums over the front of an array of small numbers, kept in a Fenwick tree.
class Sums {
 public:
  explicit Sums(size_t n) : tree_(n + 1, 0) {}

  void Add(size_t i, int32_t amount) {
    for (++i; i < tree_.size(); i += i & (~i + 1)) {
      tree_[i] += amount;
    }
  }
  // Of elements [0, n).
  [[nodiscard]] int32_t Before(size_t n) const {
    int32_t sum = 0;
    for (; n > 0; n -= n & (~n + 1)) {
      sum += tree_[n];
    }
    return sum;
  }

 private:
  std::vector<int32_t> tree_;
};

constexpr uint32_t kNotUsed = UINT32_MAX;

// One LRU stack. Each use is a moment; a moment is marked while it is its page's last.
class Stack {
 public:
  explicit Stack(size_t n_moments) : marks_(n_moments) {}

  // How many pages were used since `moment`.
  [[nodiscard]] uint32_t DistanceOf(uint32_t moment) const {
    return n_pages_ - static_cast<uint32_t>(marks_.Before(size_t{moment} + 1));
  }
  [[nodiscard]] uint32_t Use(uint32_t last_moment) {
    if (last_moment == kNotUsed) {
      ++n_pages_;
    } else {
      marks_.Add(last_moment, -1);
    }
    marks_.Add(now_, 1);
    return now_++;
  }

 private:
  Sums marks_;
  uint32_t n_pages_ = 0;
  uint32_t now_ = 0;
};

}  // namespace

uint64_t MissCurve::misses(uint32_t n_slots) const {
  uint64_t misses = n_references;
  for (size_t i = 0; i < std::min<size_t>(n_slots, n_hits.size()); ++i) {
    misses -= n_hits[i];
  }
  return misses;
}

MissCurve LruMissCurve(const ReferenceStream& stream, Scope scope) {
  const auto& layout = stream.layout();
  const bool per_layer = scope == Scope::kPerLayer;
  std::vector<size_t> n_moments(per_layer ? layout.n_layers() : 1, 0);
  for (size_t i = 0; i < stream.size(); ++i) {
    const auto visit = stream.visit(i);
    n_moments[per_layer ? visit.layer : 0] += visit.experts.size();
  }
  std::vector<Stack> stacks(n_moments.begin(), n_moments.end());
  std::vector<uint32_t> last(layout.n_pages(), kNotUsed);
  MissCurve curve;
  curve.n_hits.assign(layout.n_pages(), 0);
  for (size_t i = 0; i < stream.size(); ++i) {
    const auto visit = stream.visit(i);
    Stack& stack = stacks[per_layer ? visit.layer : 0];
    const bool count = visit.phase == Phase::kDecode;
    for (const PageId page : stream.pages(i)) {
      if (count && last[page.value] != kNotUsed) {
        ++curve.n_hits[stack.DistanceOf(last[page.value])];
      }
      curve.n_references += count ? 1 : 0;
    }
    for (const uint32_t expert : visit.experts) {
      uint32_t& moment = last[layout.page(visit.layer, expert).value];
      moment = stack.Use(moment);
    }
  }
  return curve;
}

}  // namespace plimsoll::memory::replay
