// Lists of sequences, and times.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/batch/sequence.h"

namespace plimsoll::engine::batch {

inline double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// In order of arrival.
template <class List>
void InsertById(List& list, SequencePtr sequence) {
  const auto at = std::ranges::find_if(
      list, [&](const SequencePtr& other) { return other->id > sequence->id; });
  list.insert(at, std::move(sequence));
}

// In order of first start.
template <class List>
void InsertByTurn(List& list, SequencePtr sequence) {
  const auto at = std::ranges::find_if(
      list, [&](const SequencePtr& other) { return other->turn > sequence->turn; });
  list.insert(at, std::move(sequence));
}

// Null when it is not there.
template <class List>
SequencePtr TakeFrom(List& list, const Sequence& sequence) {
  const auto at = std::ranges::find_if(
      list, [&](const SequencePtr& other) { return other.get() == &sequence; });
  if (at == list.end()) {
    return nullptr;
  }
  SequencePtr taken = std::move(*at);
  list.erase(at);
  return taken;
}

}  // namespace plimsoll::engine::batch
