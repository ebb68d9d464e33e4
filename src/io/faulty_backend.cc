#include "io/faulty_backend.h"

#include <algorithm>

#include "base/rng.h"
#include "io/aligned_range.h"

namespace plimsoll::io {

FaultyBackend::FaultyBackend(std::unique_ptr<ReadBackend> inner, const FaultPlan& plan)
    : inner_(std::move(inner)), plan_(plan) {
  injected_.reserve(inner_->depth());
}

void FaultyBackend::Change(const FaultPlan& plan) {
  plan_ = plan;
  n_reads_ = 0;
  bad_places_.clear();
}

int FaultyBackend::FaultOf(const BackendRead& read) {
  const bool is_bad = std::any_of(bad_places_.begin(), bad_places_.end(), [&](const Place& place) {
    return place.file == read.file && place.offset >= read.offset &&
           place.offset < read.offset + read.bytes;
  });
  const bool is_due = (plan_.error_every != 0 && n_reads_ % plan_.error_every == 0) ||
                      n_reads_ == plan_.error_at ||
                      UniformAt(plan_.seed, n_reads_, 3) < plan_.error_share;
  if (is_bad || is_due) {
    if (plan_.lasting && !is_bad) {
      bad_places_.push_back({read.file, read.offset});
    }
    ++n_errors_;
    return plan_.error_number;
  }
  const double random = UniformAt(plan_.seed, n_reads_, 0);
  if (random < plan_.interrupted_share) {
    return EINTR;
  }
  return random < plan_.interrupted_share + plan_.again_share ? EAGAIN : 0;
}

void FaultyBackend::Queue(const BackendRead& read) {
  ++n_reads_;
  if (const int error_number = FaultOf(read); error_number != 0) {
    injected_.push_back({.id = read.id, .result = -error_number});
    return;
  }
  BackendRead shortened = read;
  if (UniformAt(plan_.seed, n_reads_, 1) < plan_.short_share) {
    const double share = UniformAt(plan_.seed, n_reads_, 2);
    const auto bytes = static_cast<uint32_t>(share * read.bytes);
    // Direct reads end at a block.
    const auto block = read.buffered ? 1U : static_cast<uint32_t>(kIoAlignment);
    shortened.bytes = std::clamp(bytes / block * block, std::min(block, read.bytes), read.bytes);
  }
  inner_->Queue(shortened);
}

size_t FaultyBackend::Reap(std::span<BackendResult> results, std::chrono::nanoseconds wait) {
  size_t n = 0;
  while (n < results.size() && !injected_.empty()) {
    results[n++] = injected_.back();
    injected_.pop_back();
  }
  if (n == results.size()) {
    return n;
  }
  return n + inner_->Reap(results.subspan(n), n > 0 ? std::chrono::nanoseconds(0) : wait);
}

}  // namespace plimsoll::io
