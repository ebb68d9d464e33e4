#include "memory/pager.h"

#include <algorithm>

#include "base/checked.h"
#include "base/invariant.h"
#include "memory/wait_for_reads.h"

namespace plimsoll::memory {
namespace {

using io::ReadClass;

constexpr size_t kCompletionsAtOnce = 64;
constexpr uint32_t kPageBits = 64;

}  // namespace

uint64_t PageHomes::FrameBytes(std::span<const PagePart> parts) {
  uint64_t bytes = 0;
  for (const PagePart& part : parts) {
    bytes += PartFrameBytes(part.bytes);
  }
  return bytes;
}

Result<std::unique_ptr<Pager>> Pager::Create(Ledger& ledger, std::unique_ptr<io::Reader> reader,
                                             PageHomes homes, const policy::PageLayout& layout,
                                             std::unique_ptr<policy::Policy> policy,
                                             std::span<const uint32_t> n_frames,
                                             std::span<const uint32_t> n_frames_min,
                                             PagerOptions options) {
  Invariant(homes.n_pages() == layout.n_pages() && n_frames.size() == homes.frame_bytes.size(),
            "every page has a home and every class its frames");
  std::unique_ptr<Pager> pager(new Pager(ledger, std::move(reader), std::move(homes), layout,
                                         std::move(policy), std::move(options)));
  const uint64_t table_bytes = TableBytes(pager->homes_.n_pages(), pager->homes_.n_parts);
  auto tables = ledger.Reserve(Account::kIndex, table_bytes);
  if (!tables) {
    return Fail(ErrorKind::kDoesNotFit, "the line has no room for the tables of {} pages",
                layout.n_pages());
  }
  pager->tables_ = std::move(*tables);
  for (size_t i = 0; i < n_frames.size(); ++i) {
    PageClass& page_class = pager->classes_[i];
    page_class.n_frames_min = n_frames_min[i];
    page_class.arena->Grow(n_frames[i]);
    page_class.buffers.resize(page_class.arena->n_chunks(), io::kNoReadBuffer);
    if (page_class.arena->n_frames() < n_frames_min[i]) {
      return Fail(ErrorKind::kDoesNotFit,
                  "the line has room for {} of the {} frames of {} that a token's experts need",
                  page_class.arena->n_frames(), n_frames_min[i],
                  FormatBytes(page_class.arena->frame_bytes()));
    }
  }
  if (pager->options_.prepare_ahead_bytes != 0) {
    for (PageClass& page_class : pager->classes_) {
      page_class.arena->Prepare(pager->options_.prepare_ahead_bytes);
    }
  }
  pager->policy_->SetCapacity(pager->TotalFrames());
  return pager;
}

Pager::Pager(Ledger& ledger, std::unique_ptr<io::Reader> reader, PageHomes homes,
             const policy::PageLayout& layout, std::unique_ptr<policy::Policy> policy,
             PagerOptions options)
    : homes_(std::move(homes)),
      options_(std::move(options)),
      policy_(std::move(policy)),
      uses_(layout),
      pages_(homes_.n_pages()),
      reads_(homes_.parts.size()),
      completions_(kCompletionsAtOnce),
      damages_(kCompletionsAtOnce),
      verify_one_([this](size_t i) { damages_[i] = Verify(completions_[i]); }),
      reader_(std::move(reader)) {
  std::vector<uint32_t> pages_of_class(homes_.frame_bytes.size());
  for (const uint8_t page_class : homes_.class_of) {
    ++pages_of_class[page_class];
  }
  for (size_t i = 0; i < homes_.frame_bytes.size(); ++i) {
    PageClass& page_class = classes_.emplace_back();
    page_class.arena = std::make_unique<FrameArena>(ledger, Account::kExperts,
                                                    homes_.frame_bytes[i], pages_of_class[i]);
    page_class.evictable.resize(CeilDiv(homes_.n_pages(), kPageBits));
  }
  uint32_t most = 0;
  for (uint32_t layer = 0; layer < layout.n_layers(); ++layer) {
    most = std::max(most, layout.n_pages(layer));
  }
  round_.pages.resize(most);
  round_.wishes.resize(most);
  round_.joined.resize(most);
  round_.given.reserve(most);
  guesses_.reserve(homes_.n_pages());
}

Pager::~Pager() = default;

uint64_t Pager::TableBytes(uint32_t n_pages, uint32_t n_parts) {
  return n_pages * (sizeof(Page) + n_parts * (sizeof(PagePart) + sizeof(io::ReadId)) +
                    sizeof(uint32_t) + 1 + policy::UseCounts::kBytesAPage);
}

uint32_t Pager::TotalFrames() const {
  uint32_t total = 0;
  for (const PageClass& page_class : classes_) {
    total += page_class.arena->n_frames();
  }
  return total;
}

void Pager::SetEvictable(PageId page, bool evictable) {
  uint64_t& word = ClassOf(page).evictable[page.value / kPageBits];
  const uint64_t bit = uint64_t{1} << (page.value % kPageBits);
  word = evictable ? word | bit : word & ~bit;
}

void Pager::Pin(PageId page) {
  pages_[page.value].pinned = true;
  SetEvictable(page, false);
}

void Pager::Unpin(PageId page) {
  pages_[page.value].pinned = false;
  SetEvictable(page, pages_[page.value].state == PageState::kResident);
}

uint64_t Pager::BytesOf(PageId page) const {
  uint64_t bytes = 0;
  for (const PagePart& part : homes_.PartsOf(page)) {
    bytes += part.bytes;
  }
  return bytes;
}

uint64_t Pager::PartOffset(PageId page, uint32_t part) const {
  return PageHomes::FrameBytes(homes_.PartsOf(page).first(part));
}

const std::byte* Pager::Data(PageId page, uint32_t part) const {
  const Page& state = pages_[page.value];
  Invariant(state.state == PageState::kResident && state.pinned, "a page in use is pinned");
  return PartData(page, part);
}

const std::byte* Pager::PartData(PageId page, uint32_t part) const {
  const PagePart& home = homes_.PartsOf(page)[part];
  const FrameArena& arena = *classes_[homes_.class_of[page.value]].arena;
  return arena.Data({pages_[page.value].frame}) + PartOffset(page, part) +
         reader_->RangeOf(home.file, home.offset, home.bytes).data_offset;
}

Pager::ReadPart Pager::PartOf(const io::ReadCompletion& completion) const {
  return {.page = {static_cast<uint32_t>(completion.tag / homes_.n_parts)},
          .part = static_cast<uint32_t>(completion.tag % homes_.n_parts)};
}

void Pager::Drop(PageId page) {
  Page& state = pages_[page.value];
  Invariant(!state.pinned && state.state == PageState::kResident, "a page in use is not evicted");
  if (state.guessed) {
    state.guessed = false;
    ++stats_.prefetched_dropped;
  }
  SetEvictable(page, false);
  policy_->Evict(page);
  ClassOf(page).arena->Return({state.frame});
  state.state = PageState::kAbsent;
  state.frame = kNoFrame;
  --n_resident_;
  ++stats_.evictions;
}

bool Pager::Evict(PageClass& page_class, std::optional<PageId> incoming) {
  const auto victim = policy_->ChooseVictim(incoming, policy::PageSet(page_class.evictable));
  if (!victim) {
    return false;
  }
  Drop(*victim);
  return true;
}

std::optional<FrameId> Pager::FrameFor(PageId page) {
  PageClass& page_class = ClassOf(page);
  if (auto free = page_class.arena->Take()) {
    return free;
  }
  if (!Evict(page_class, page)) {
    return std::nullopt;
  }
  return page_class.arena->Take();
}

io::ReadBufferId Pager::BufferOf(PageClass& page_class, FrameId frame) {
  const uint32_t chunk = page_class.arena->ChunkOf(frame);
  io::ReadBufferId& buffer = page_class.buffers[chunk];
  if (buffer == io::kNoReadBuffer && registers_ && page_class.arena->IsReady(chunk)) {
    const auto registered = reader_->RegisterBuffer(page_class.arena->ChunkMemory(chunk));
    registers_ = registered.has_value();
    buffer = registered.value_or(io::kNoReadBuffer);
  }
  return buffer;
}

void Pager::ForgetBuffer(PageClass& page_class, uint32_t chunk) {
  io::ReadBufferId& buffer = page_class.buffers[chunk];
  if (buffer != io::kNoReadBuffer) {
    reader_->UnregisterBuffer(buffer);
    buffer = io::kNoReadBuffer;
  }
}

bool Pager::BeginRead(PageId page, ReadClass read_class) {
  const std::span<const PagePart> parts = homes_.PartsOf(page);
  if (reader_->n_free() < parts.size()) {
    return false;
  }
  const auto frame = FrameFor(page);
  if (!frame) {
    return false;
  }
  policy_->Admit(page);
  Page& state = pages_[page.value];
  state.state = PageState::kReading;
  state.frame = frame->value;
  state.failed = false;
  state.cancelled = false;
  state.n_parts_left = static_cast<uint8_t>(parts.size());
  std::byte* const at = ClassOf(page).arena->Data(*frame);
  const io::ReadBufferId buffer = BufferOf(ClassOf(page), *frame);
  for (uint32_t i = 0; i < parts.size(); ++i) {
    const io::AlignedRange range = reader_->RangeOf(parts[i].file, parts[i].offset, parts[i].bytes);
    const auto id = reader_->Submit({.file = parts[i].file,
                                     .offset = parts[i].offset,
                                     .bytes = parts[i].bytes,
                                     .frame = {at + PartOffset(page, i), range.bytes},
                                     .buffer = buffer,
                                     .read_class = read_class,
                                     .tag = uint64_t{page.value} * homes_.n_parts + i});
    Invariant(id.has_value(), "a reader accepts as many requests as it says");
    reads_[size_t{page.value} * homes_.n_parts + i] = *id;
  }
  return true;
}

void Pager::Promote(PageId page, ReadClass read_class) {
  for (uint32_t i = 0; i < homes_.n_parts; ++i) {
    reader_->Promote(reads_[size_t{page.value} * homes_.n_parts + i], read_class);
  }
}

void Pager::OnCompletions(size_t n) {
  if (options_.verify) {
    if (n > 1 && options_.side_by_side) {
      options_.side_by_side(n, verify_one_);
    } else {
      for (size_t i = 0; i < n; ++i) {
        verify_one_(i);
      }
    }
  }
  for (size_t i = 0; i < n; ++i) {
    OnCompletion(completions_[i], std::exchange(damages_[i], std::nullopt));
  }
}

std::optional<Error> Pager::Verify(const io::ReadCompletion& completion) const {
  if (completion.outcome != io::ReadOutcome::kDone) {
    return std::nullopt;
  }
  const auto [page, part] = PartOf(completion);
  return options_.verify(page, part, {PartData(page, part), homes_.PartsOf(page)[part].bytes});
}

void Pager::OnCompletion(const io::ReadCompletion& completion, std::optional<Error> damage) {
  const PageId page = PartOf(completion).page;
  Page& state = pages_[page.value];
  std::optional<Error> error = std::move(damage);
  if (completion.outcome == io::ReadOutcome::kCancelled) {
    state.cancelled = true;
  } else if (completion.outcome != io::ReadOutcome::kDone) {
    error = reader_->Describe(completion);
  }
  if (error) {
    state.failed = true;
    if (state.pinned && !round_.error) {
      round_.error = std::move(error);
    }
  }
  if (--state.n_parts_left == 0) {
    OnPageRead(page);
  }
}

void Pager::OnPageRead(PageId page) {
  Page& state = pages_[page.value];
  std::erase(guesses_, page.value);
  state.state = PageState::kResident;
  ++n_resident_;
  if (!state.failed && !state.cancelled) {
    SetEvictable(page, !state.pinned);
    return;
  }
  // Cancelled, or in pieces: it was never there.
  const bool pinned = std::exchange(state.pinned, false);
  Drop(page);
  --stats_.evictions;
  stats_.failures += state.failed ? 1U : 0U;
  stats_.prefetched_bytes -= state.cancelled ? BytesOf(page) : 0U;
  if (pinned && !round_.error) {  // a guess that was cancelled before someone joined it
    for (size_t i = 0; i < round_.n; ++i) {
      if (round_.pages[i] == page && round_.wishes[i] == Wish::kReading) {
        WantAgain(i);
        --stats_.prefetched_used;
        ++stats_.prefetched_dropped;
      }
    }
  }
}

void Pager::Poll() {
  if (reader_->n_outstanding() == 0) {
    return;
  }
  while (const size_t n = reader_->Poll(completions_)) {
    OnCompletions(n);
  }
}

void Pager::Prefetch(std::span<const PageId> pages, size_t most) {
  for (const PageId page : pages) {
    if (pages_[page.value].state != PageState::kAbsent) {
      continue;
    }
    if (most == 0 || !BeginRead(page, ReadClass::kPrefetch)) {
      break;
    }
    --most;
    pages_[page.value].guessed = true;
    guesses_.push_back(page.value);
    ++stats_.prefetched;
    stats_.prefetched_bytes += BytesOf(page);
  }
  reader_->Issue();
}

void Pager::DropPrefetches() {
  for (const uint32_t page : guesses_) {
    if (pages_[page].guessed) {
      for (uint32_t i = 0; i < homes_.n_parts; ++i) {
        reader_->Cancel(reads_[size_t{page} * homes_.n_parts + i]);
      }
    }
  }
}

Result<> Pager::WaitForAny() {
  std::chrono::nanoseconds between_rounds{};  // no layer waits then
  const auto n = WaitForReads(*reader_, completions_, options_.stall_bound,
                              round_.open ? StatsOfRound().waited : between_rounds);
  if (!n) {
    return tl::unexpected(n.error());
  }
  OnCompletions(*n);
  return {};
}

void Pager::CheckInvariants() const {
  uint32_t n_resident = 0;
  std::vector<std::vector<uint32_t>> frames(classes_.size());
  for (uint32_t i = 0; i < pages_.size(); ++i) {
    const Page& page = pages_[i];
    const PageClass& page_class = classes_[homes_.class_of[i]];
    const bool evictable = policy::PageSet(page_class.evictable).Contains({i});
    Invariant((page.state == PageState::kAbsent) == (page.frame == kNoFrame),
              "a page has a frame while it is there or on its way");
    Invariant(evictable == (page.state == PageState::kResident && !page.pinned),
              "what may be evicted is resident and not in use");
    n_resident += page.state == PageState::kResident ? 1 : 0;
    if (page.frame != kNoFrame) {
      frames[homes_.class_of[i]].push_back(page.frame);
    }
  }
  Invariant(n_resident == n_resident_, "resident pages are counted");
  for (size_t i = 0; i < classes_.size(); ++i) {
    std::ranges::sort(frames[i]);
    Invariant(std::ranges::adjacent_find(frames[i]) == frames[i].end(),
              "no two pages share a frame");
    const FrameArena& arena = *classes_[i].arena;
    Invariant(frames[i].size() + arena.n_free() == arena.n_frames(),
              "every frame is accounted for");
  }
}

}  // namespace plimsoll::memory
