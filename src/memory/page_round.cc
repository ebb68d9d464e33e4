// Rounds: one layer's pages, wanted together and given out as they can be used.
#include <algorithm>

#include "base/invariant.h"
#include "memory/pager.h"

namespace plimsoll::memory {
namespace {

// In the given order, while others are still being read: between two calls the owner computes, and
// the reader makes no progress.
constexpr size_t kGivenAtOnce = 2;
// Pages read ahead in the given order, however large they are.
constexpr size_t kAheadMin = 2;

}  // namespace

PageRound::~PageRound() {
  if (pager_ != nullptr) {
    pager_->CloseRound();
  }
}

Result<std::span<const uint32_t>> PageRound::Next() { return pager_->NextOfRound(); }

io::ReadClass Pager::ClassOfRound() const {
  return round_.phase == Phase::kDecode ? io::ReadClass::kDemand : io::ReadClass::kPrefill;
}

PageRound Pager::Want(std::span<const PageId> pages, Phase phase, WantOrder order) {
  Invariant(!round_.open && pages.size() <= round_.pages.size(),
            "one round of one layer at a time");
  round_.open = true;
  round_.order = order;
  round_.phase = phase;
  round_.n = pages.size();
  round_.n_given = 0;
  round_.first_left = 0;
  round_.given.clear();
  round_.error.reset();
  StatsOfRound().wanted += pages.size();
  // All that are there are pinned before anything is evicted for the others.
  for (size_t i = 0; i < pages.size(); ++i) {
    round_.pages[i] = pages[i];
    round_.joined[i] = false;
    round_.wishes[i] = WantPage(i);
  }
  BeginMissing();
  return PageRound(*this);
}

Pager::Wish Pager::WantPage(size_t index) {
  const PageId page = round_.pages[index];
  Page& state = pages_[page.value];
  if (state.state == PageState::kAbsent) {
    return Wish::kWaiting;
  }
  if (std::exchange(state.guessed, false)) {
    ++stats_.prefetched_used;
  }
  Pin(page);
  if (state.state == PageState::kResident) {
    ++StatsOfRound().hits;
    return Wish::kHit;
  }
  ++StatsOfRound().joined;
  round_.joined[index] = true;
  Promote(page, ClassOfRound());
  return Wish::kReading;
}

void Pager::WantAgain(size_t index) {
  Wish& wish = round_.wishes[index];
  StatsOfRound().hits -= wish == Wish::kHit ? 1U : 0U;
  StatsOfRound().joined -= round_.joined[index] ? 1U : 0U;
  round_.joined[index] = false;
  wish = Wish::kWaiting;
}

bool Pager::IsFarEnough(size_t n_pages, uint64_t bytes) const {
  return round_.order == WantOrder::kGiven && n_pages >= kAheadMin &&
         bytes >= options_.read_ahead_bytes;
}

void Pager::BeginMissing() {
  size_t n_ahead = 0;
  uint64_t bytes_ahead = 0;
  for (size_t i = round_.first_left; i < round_.n && !IsFarEnough(n_ahead, bytes_ahead); ++i) {
    Wish& wish = round_.wishes[i];
    const PageId page = round_.pages[i];
    if (wish == Wish::kWaiting && pages_[page.value].state != PageState::kAbsent) {
      wish = WantPage(i);  // guessed since the round began
    } else if (wish == Wish::kWaiting) {
      if (!BeginRead(page, ClassOfRound())) {
        break;
      }
      Pin(page);
      wish = Wish::kReading;
      StatsOfRound().bytes_read += BytesOf(page);
    }
    if (wish == Wish::kReading || wish == Wish::kArrived) {
      ++n_ahead;
      bytes_ahead += ClassOf(page).arena->frame_bytes();
    }
  }
  reader_->Issue();
}

// Frames are short and all of them hold pages that this round wants later, which were there or on
// their way when it began: the last of these is read again when its turn comes.
bool Pager::GiveUpLast() {
  for (size_t i = round_.n; i-- > round_.first_left;) {
    const Wish wish = round_.wishes[i];
    if (wish == Wish::kHit || wish == Wish::kArrived) {
      Unpin(round_.pages[i]);
      Drop(round_.pages[i]);
      WantAgain(i);
      return true;
    }
  }
  return false;
}

void Pager::GatherReady() {
  const bool in_order = round_.order == WantOrder::kGiven;
  bool all_there = true;
  for (size_t i = round_.first_left; i < round_.n; ++i) {
    if (round_.wishes[i] == Wish::kReading &&
        pages_[round_.pages[i].value].state == PageState::kResident) {
      round_.wishes[i] = Wish::kArrived;
    }
    all_there &= round_.wishes[i] != Wish::kReading && round_.wishes[i] != Wish::kWaiting;
  }
  const size_t most = in_order && !all_there ? kGivenAtOnce : round_.n;
  for (size_t i = round_.first_left; i < round_.n && round_.given.size() < most; ++i) {
    Wish& wish = round_.wishes[i];
    if (wish == Wish::kHit || wish == Wish::kArrived) {
      wish = Wish::kGiven;
      round_.given.push_back(static_cast<uint32_t>(i));
    } else if (in_order && wish != Wish::kGiven) {
      break;
    }
  }
  while (round_.first_left < round_.n && round_.wishes[round_.first_left] == Wish::kGiven) {
    ++round_.first_left;
  }
}

void Pager::TakeBackGiven() {
  for (const uint32_t i : round_.given) {
    Unpin(round_.pages[i]);
  }
  round_.n_given += round_.given.size();
  round_.given.clear();
}

Result<std::span<const uint32_t>> Pager::NextOfRound() {
  TakeBackGiven();
  Poll();
  while (!round_.error && round_.n_given < round_.n) {
    BeginMissing();
    GatherReady();
    if (!round_.given.empty()) {
      return round_.given;
    }
    if (reader_->n_outstanding() == 0) {
      Invariant(GiveUpLast(), "a class has a frame for each page that is in use");
      continue;
    }
    if (auto waited = WaitForAny(); !waited) {
      return Forward(waited);
    }
  }
  if (round_.error) {
    return tl::unexpected(*round_.error);
  }
  return std::span<const uint32_t>();
}

void Pager::CloseRound() {
  TakeBackGiven();
  for (size_t i = 0; i < round_.n; ++i) {
    if (round_.wishes[i] != Wish::kWaiting && round_.wishes[i] != Wish::kGiven) {
      Unpin(round_.pages[i]);
    }
  }
  round_.open = false;
  round_.n = 0;
  round_.error.reset();
}

}  // namespace plimsoll::memory
