// Asking for memory before it is read.
#pragma once

#include <cstddef>
#include <cstdint>

#include <immintrin.h>

namespace plimsoll::kernels {
namespace {

inline constexpr uintptr_t kLineBytes = 64;

// Into the second level: the first has no room. Addresses are numbers since nothing is read; they
// may run past the end of what they point into. Always inlined: GCC takes a function that does
// nothing else for one without effect and drops its calls.
[[gnu::always_inline]] inline void AskFor(uintptr_t at) {
  _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1);
}

// Leading a stream, where the processor loses it at the end of each page (CpuLosesStreamsAtPages):
// while it is read, one line is asked for every kLeadStep bytes, of the first kibibyte of a page
// some pages on, from where the processor goes on by itself. It then has as many reads under way as
// if several streams were read, where line by line each request holds one of the few miss buffers
// of the level 1 cache.
inline constexpr uintptr_t kLeadStep = 4 * kLineBytes;

// What to ask for when the kLeadStep bytes at `at` are read.
inline uintptr_t LeadOf(uintptr_t at) {
  constexpr uintptr_t kPage = 4096;
  constexpr uintptr_t kPagesAhead = 6;
  const uintptr_t in_page = at % kPage;
  return at - in_page + kPagesAhead * kPage + in_page / (kLeadStep / kLineBytes);
}

// A stream that is read now, asked for a little before. Where products take nearly as long as the
// memory, the processor's own prefetching comes too late; where the processor loses streams, it is
// led. Where products take much less long than the memory (kInRuns), the next kSpreadBytes are
// asked for too, in eight runs side by side: a core reads several streams faster than one. That
// costs five instructions a line, which other products have no time for.
template <bool kInRuns>
class StreamAhead {
 public:
  static constexpr bool kEvenly = true;

  StreamAhead(const std::byte* begin, bool by_leads)
      : at_(reinterpret_cast<uintptr_t>(begin)), by_leads_(by_leads) {}

  // While so many bytes are used.
  [[gnu::always_inline]] void Step(size_t bytes) {
    const uintptr_t begin = at_;
    at_ += bytes;
    if (by_leads_) {
      for (uintptr_t at = begin; at < at_; at += kLeadStep) {
        AskFor(LeadOf(at));
      }
      return;
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < bytes; i += kLineBytes) {
      AskHere(begin + kBytesAhead + i);
      if constexpr (kInRuns) {
        AskFar(InRuns(begin + i));
      }
    }
  }

 private:
  // Of 0.5 to 8 KiB the best with most types.
  static constexpr uintptr_t kBytesAhead = 2048;

  static constexpr uintptr_t kSpreadBytes = 64 * 1024;
  static constexpr uintptr_t kRuns = 8;

  // What to ask for when the line at `at` is read: lines that follow one another here are the next
  // ones of runs that follow one another there.
  [[gnu::always_inline]] static uintptr_t InRuns(uintptr_t at) {
    constexpr uintptr_t kRunBytes = kSpreadBytes / kRuns;
    const uintptr_t run = at / kLineBytes % kRuns;
    const uintptr_t in_run = at % kSpreadBytes / kRuns / kLineBytes * kLineBytes;
    return at - at % kSpreadBytes + kSpreadBytes + run * kRunBytes + in_run;
  }

  // Into the first level. No intrinsic, for compilers gather those where they are of no use: thirty
  // requests in a row hold all of the miss buffers, and the loads of the present wait behind them.
  [[gnu::always_inline]] static void AskHere(uintptr_t at) {
    asm volatile("prefetcht0 %0" : : "m"(*reinterpret_cast<const char*>(at)));
  }
  [[gnu::always_inline]] static void AskFar(uintptr_t at) {
    asm volatile("prefetcht1 %0" : : "m"(*reinterpret_cast<const char*>(at)));
  }

  uintptr_t at_;
  bool by_leads_;
};

// Memory that will be read soon. Nothing when both are null.
struct Upcoming {
  const std::byte* begin = nullptr;
  const std::byte* end = nullptr;
  bool by_leads = false;  // it is the stream that is read now
};

// Asks for it a step at a time, so that memory is busy while the present is computed from the
// caches: line by line, or by leads.
class Prefetcher {
 public:
  static constexpr bool kEvenly = false;

  explicit Prefetcher(Upcoming upcoming)
      : next_(reinterpret_cast<uintptr_t>(upcoming.begin)),
        end_(reinterpret_cast<uintptr_t>(upcoming.end)),
        by_leads_(upcoming.by_leads) {}

  // While so many bytes of the present are used.
  void Step(size_t bytes) {
    const uintptr_t stop = next_ + bytes < end_ ? next_ + bytes : end_;
    if (by_leads_) {
      for (; next_ < stop; next_ += kLeadStep) {
        AskFor(LeadOf(next_));
      }
    } else {
      for (; next_ < stop; next_ += kLineBytes) {
        AskFor(next_);
      }
    }
  }

 private:
  uintptr_t next_;
  uintptr_t end_;
  bool by_leads_;
};

}  // namespace
}  // namespace plimsoll::kernels
