#include "memory/page_stream.h"

#include <algorithm>

#include "base/invariant.h"
#include "memory/wait_for_reads.h"

namespace plimsoll::memory {
namespace {

constexpr size_t kStreamCompletionsAtOnce = 64;

uint64_t Total(std::span<const uint64_t> bytes) {
  uint64_t total = 0;
  for (const uint64_t n : bytes) {
    total += n;
  }
  return total;
}

// Of the ring: as many as there are pages, and some that are forgotten but still being read.
uint32_t PlacesFor(size_t n_pages) { return static_cast<uint32_t>(2 * n_pages); }

}  // namespace

std::vector<bool> ChooseKept(std::span<const uint64_t> frame_bytes, uint64_t bytes) {
  const uint64_t total = Total(frame_bytes);
  std::vector<bool> kept(frame_bytes.size(), total <= bytes);
  if (total <= bytes) {
    return kept;
  }
  // Each page earns its share of the bytes, and who comes when there is enough for him takes it.
  const double share = static_cast<double>(bytes) / static_cast<double>(total);
  double earned = 0;
  uint64_t left = bytes;
  for (size_t i = 0; i < kept.size(); ++i) {
    earned += share * static_cast<double>(frame_bytes[i]);
    if (static_cast<double>(frame_bytes[i]) <= earned && frame_bytes[i] <= left) {
      earned -= static_cast<double>(frame_bytes[i]);
      left -= frame_bytes[i];
      kept[i] = true;
    }
  }
  for (size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i] && frame_bytes[i] <= left) {
      left -= frame_bytes[i];
      kept[i] = true;
    }
  }
  return kept;
}

Result<std::unique_ptr<PageStream>> PageStream::Create(Ledger& ledger,
                                                       std::unique_ptr<io::Reader> reader,
                                                       std::span<const PagePart> pages,
                                                       const PageStreamOptions& options) {
  Invariant(!pages.empty(), "a stream has pages");
  const auto n_pages = static_cast<uint32_t>(pages.size());
  std::unique_ptr<PageStream> stream(new PageStream(ledger, std::move(reader), pages, options));
  auto tables = ledger.Reserve(Account::kIndex, TableBytes(n_pages));
  if (!tables) {
    return Fail(ErrorKind::kDoesNotFit, "the line has no room for the tables of {} pages", n_pages);
  }
  stream->tables_ = std::move(*tables);
  auto memory = Buffer::Allocate(ledger, options.account, options.ring_bytes,
                                 "the ring that weights stream through");
  if (!memory) {
    return Forward(memory);
  }
  stream->ring_memory_ = std::move(*memory);
  stream->ring_memory_.Populate();
  stream->ring_buffer_ =
      stream->reader_->RegisterBuffer(stream->ring_memory_.span()).value_or(io::kNoReadBuffer);
  return stream;
}

PageStream::PageStream(Ledger& ledger, std::unique_ptr<io::Reader> reader,
                       std::span<const PagePart> pages, const PageStreamOptions& options)
    : ledger_(ledger),
      options_(options),
      ring_(options.ring_bytes, PlacesFor(pages.size())),
      page_of_place_(PlacesFor(pages.size()), kNoPage),
      circle_end_(static_cast<uint32_t>(pages.size())),
      completions_(kStreamCompletionsAtOnce),
      reader_(std::move(reader)) {
  for (const PagePart& home : pages) {
    pages_.emplace_back().home = home;
  }
  in_use_.reserve(pages_.size());
}

PageStream::~PageStream() = default;

uint64_t PageStream::TableBytes(uint32_t n_pages) {
  return n_pages * (sizeof(Page) + sizeof(uint32_t)) +
         PlacesFor(n_pages) * (sizeof(PageRing::Place) + sizeof(uint32_t));
}

Result<> PageStream::Keep(uint64_t bytes) {
  if (auto drained = Drain(); !drained) {
    return drained;
  }
  if (bytes < kept_bytes_) {
    KeepLess(bytes);
    return {};
  }
  auto kept = KeepMore(bytes - kept_bytes_);
  if (!kept) {
    KeepLess(0);
  }
  return kept;
}

Result<> PageStream::KeepMore(uint64_t bytes) {
  std::vector<uint64_t> frame_bytes;
  for (const Page& page : pages_) {
    frame_bytes.push_back(page.kept ? 0 : FrameBytes(page.home.bytes));
  }
  const std::vector<bool> kept = ChooseKept(frame_bytes, bytes);
  for (size_t i = 0; i < pages_.size(); ++i) {
    Page& page = pages_[i];
    if (page.kept || !kept[i]) {
      continue;
    }
    auto memory = Buffer::Allocate(ledger_, options_.account, frame_bytes[i], "a weight to keep");
    if (!memory) {
      return Forward(memory);
    }
    page.memory = std::move(*memory);
    page.kept = true;
    kept_bytes_ += frame_bytes[i];
  }
  return {};
}

void PageStream::KeepLess(uint64_t bytes) {
  std::vector<uint64_t> frame_bytes;
  for (const Page& page : pages_) {
    frame_bytes.push_back(page.kept ? FrameBytes(page.home.bytes) : 0);
  }
  const std::vector<bool> kept = ChooseKept(frame_bytes, bytes);
  for (size_t i = 0; i < pages_.size(); ++i) {
    if (pages_[i].kept && !kept[i]) {
      pages_[i].memory = Buffer();
      pages_[i].kept = false;
      pages_[i].state = PageState::kAbsent;
      kept_bytes_ -= frame_bytes[i];
    }
  }
}

void PageStream::SetCircle(uint32_t begin, uint32_t end) {
  Invariant(begin < end && end <= pages_.size(), "a circle has pages");
  if (begin == circle_begin_ && end == circle_end_) {
    return;
  }
  // What was begun stays right where it neither wraps nor reaches beyond the new circle.
  const bool is_inside = begin <= position_ && position_ < end;
  if (!is_inside || position_ + n_ahead_ > std::min(end, circle_end_)) {
    ForgetAhead();
  }
  circle_begin_ = begin;
  circle_end_ = end;
  position_ = is_inside ? position_ : begin;
  next_ = position_ + n_ahead_ == end ? begin : position_ + n_ahead_;
}

Result<> PageStream::Use(std::span<const uint32_t> pages) {
  LetGo();
  for (const uint32_t page : pages) {
    Hold(page);
  }
  for (;;) {
    if (BeginHeld()) {
      BeginAhead();
    }
    reader_->Issue();
    const auto there = AreHeldThere();
    if (there && *there) {
      return {};
    }
    auto waited = there ? Result<>() : Result<>(tl::unexpected(there.error()));
    if (there && reader_->n_outstanding() != 0) {
      waited = WaitForAny();
    } else if (there) {
      // A read that was repeated found the ring full of what comes later: they begin again in it.
      ForgetAhead();
      for (const uint32_t page : in_use_) {
        Forget(pages_[page]);
      }
      Invariant(ring_.empty(), "nothing else is in the ring");
    }
    if (!waited) {
      LetGo();
      return waited;
    }
  }
}

void PageStream::Hold(uint32_t index) {
  Invariant(index >= circle_begin_ && index < circle_end_, "pages of the circle are used");
  Page& page = pages_[index];
  if (index != position_) {
    ForgetAhead();
    position_ = next_ = index;
    ++stats_.seeks;
  }
  position_ = After(index);
  if (n_ahead_ > 0) {
    --n_ahead_;
  } else {
    next_ = position_;
  }
  page.in_use = true;
  in_use_.push_back(index);
  ++stats_.used;
  stats_.bytes_used += page.home.bytes;
}

bool PageStream::BeginHeld() {
  return std::ranges::all_of(in_use_, [&](uint32_t index) {
    const Page& page = pages_[index];
    return page.state != PageState::kAbsent || page.error.has_value() || BeginRead(index);
  });
}

void PageStream::BeginAhead() {
  while (n_ahead_ + in_use_.size() < circle_end_ - circle_begin_) {
    const Page& page = pages_[next_];
    if (page.in_use || (page.state == PageState::kAbsent && !BeginRead(next_))) {
      return;
    }
    next_ = After(next_);
    ++n_ahead_;
  }
}

bool PageStream::BeginRead(uint32_t index) {
  if (reader_->n_free() == 0) {
    return false;
  }
  Page& page = pages_[index];
  if (page.kept) {
    page.memory.Populate();
  } else {
    const auto place = ring_.Take(FrameBytes(page.home.bytes));
    if (!place) {
      return false;
    }
    page.place = *place;
    page_of_place_[*place] = index;
  }
  const io::AlignedRange range =
      reader_->RangeOf(page.home.file, page.home.offset, page.home.bytes);
  const auto id =
      reader_->Submit({.file = page.home.file,
                       .offset = page.home.offset,
                       .bytes = page.home.bytes,
                       .frame = {FrameOf(page), range.bytes},
                       .buffer = page.kept ? io::kNoReadBuffer : ring_buffer_,
                       .read_class = io::ReadClass::kPrefill,
                       .tag = page.kept ? page_of_place_.size() + index : uint64_t{page.place}});
  Invariant(id.has_value(), "a reader accepts as many requests as it says");
  page.read = *id;
  page.state = PageState::kReading;
  stats_.bytes_read += page.home.bytes;
  return true;
}

Result<bool> PageStream::AreHeldThere() {
  bool there = true;
  for (const uint32_t index : in_use_) {
    Page& page = pages_[index];
    if (page.error) {
      return tl::unexpected(*std::exchange(page.error, std::nullopt));
    }
    there = there && page.state == PageState::kThere;
  }
  return there;
}

void PageStream::Release() {
  LetGo();
  BeginAhead();
  reader_->Issue();
}

void PageStream::LetGo() {
  for (const uint32_t index : in_use_) {
    Page& page = pages_[index];
    page.in_use = false;
    page.error.reset();
    Forget(page);
  }
  in_use_.clear();
}

void PageStream::ForgetAhead() {
  for (uint32_t index = position_; n_ahead_ > 0; --n_ahead_, index = After(index)) {
    Forget(pages_[index]);
  }
  next_ = position_;
}

// Its place is free at once, or when the reader lets go of it. A page that is kept stays.
void PageStream::Forget(Page& page) {
  if (page.kept || page.state == PageState::kAbsent) {
    return;
  }
  if (page.state == PageState::kReading) {
    reader_->Cancel(page.read);
    page_of_place_[page.place] = kNoPage;
  } else {
    ring_.Return(page.place);
  }
  page.state = PageState::kAbsent;
}

void PageStream::OnCompletion(const io::ReadCompletion& completion) {
  const bool in_ring = completion.tag < page_of_place_.size();
  const uint32_t index = in_ring ? page_of_place_[completion.tag]
                                 : static_cast<uint32_t>(completion.tag - page_of_place_.size());
  if (index == kNoPage) {
    ring_.Return(static_cast<PageRing::PlaceId>(completion.tag));
    return;
  }
  Page& page = pages_[index];
  if (completion.outcome == io::ReadOutcome::kDone) {
    page.state = PageState::kThere;
    return;
  }
  ++stats_.failures;
  page.state = PageState::kAbsent;
  if (in_ring) {
    ring_.Return(page.place);
  }
  if (page.in_use) {  // what was read ahead is tried again when it is used
    page.error = reader_->Describe(completion);
  }
}

Result<> PageStream::WaitForAny() {
  const auto n = WaitForReads(*reader_, completions_, options_.stall_bound, stats_.waited);
  if (!n) {
    return tl::unexpected(n.error());
  }
  for (size_t i = 0; i < *n; ++i) {
    OnCompletion(completions_[i]);
  }
  return {};
}

Result<> PageStream::Drain() {
  LetGo();
  ForgetAhead();
  while (reader_->n_outstanding() != 0) {
    if (auto waited = WaitForAny(); !waited) {
      return waited;
    }
  }
  return {};
}

std::byte* PageStream::FrameOf(const Page& page) const {
  return page.kept ? page.memory.data() : ring_memory_.data() + ring_[page.place].begin;
}

const std::byte* PageStream::Data(uint32_t index) const {
  const Page& page = pages_[index];
  Invariant(page.in_use && page.state == PageState::kThere, "only pages in use have data");
  return FrameOf(page) +
         reader_->RangeOf(page.home.file, page.home.offset, page.home.bytes).data_offset;
}

}  // namespace plimsoll::memory
