// Resident pages in an order, oldest last; what LRU and the FIFO queues are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "memory/policy/policy.h"

namespace plimsoll::memory::policy {

// A doubly linked list threaded through one array, so that every operation is a few writes.
class RecencyList {
 public:
  explicit RecencyList(uint32_t n_pages) : links_(n_pages + 1, {kOff, kOff}) {
    links_[n_pages] = {n_pages, n_pages};
  }

  [[nodiscard]] bool Contains(PageId page) const { return links_[page.value].next != kOff; }
  [[nodiscard]] uint32_t size() const { return size_; }

  void PushFront(PageId page) { InsertAfter(sentinel(), page.value); }
  // In front of every page for which `is_newer` is false, which are those behind the newer ones.
  template <class F>
  void Insert(PageId page, const F& is_newer) {
    uint32_t at = sentinel();
    while (links_[at].next != sentinel() && is_newer(PageId{links_[at].next})) {
      at = links_[at].next;
    }
    InsertAfter(at, page.value);
  }
  void Remove(PageId page) {
    const Link link = links_[page.value];
    links_[link.previous].next = link.next;
    links_[link.next].previous = link.previous;
    links_[page.value] = {kOff, kOff};
    --size_;
  }
  [[nodiscard]] std::optional<PageId> oldest() const { return At(links_[sentinel()].previous); }
  [[nodiscard]] std::optional<PageId> newer_than(PageId page) const {
    return At(links_[page.value].previous);
  }

 private:
  static constexpr uint32_t kOff = UINT32_MAX;
  struct Link {
    uint32_t previous;  // newer
    uint32_t next;      // older
  };

  [[nodiscard]] uint32_t sentinel() const { return static_cast<uint32_t>(links_.size()) - 1; }
  [[nodiscard]] std::optional<PageId> At(uint32_t index) const {
    return index == sentinel() ? std::nullopt : std::optional(PageId{index});
  }
  void InsertAfter(uint32_t at, uint32_t index) {
    links_[index] = {at, links_[at].next};
    links_[links_[at].next].previous = index;
    links_[at].next = index;
    ++size_;
  }

  std::vector<Link> links_;
  uint32_t size_ = 0;
};

}  // namespace plimsoll::memory::policy
