#include "io/reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::io {
namespace {

using std::chrono::nanoseconds;

// For the destructor: what is under way ends when the device answers.
constexpr nanoseconds kDrainStep = std::chrono::milliseconds(100);

}  // namespace

std::string_view ReadClassName(ReadClass read_class) {
  static constexpr std::array<std::string_view, kNReadClasses> kNames = {
      "demand", "prefill", "restore", "prefetch", "background"};
  return kNames[static_cast<size_t>(read_class)];
}

Reader::Reader(std::unique_ptr<ReadBackend> backend, const ReaderOptions& options)
    : backend_(std::move(backend)), options_(options) {
  auto& segments_max = options_.segments_in_flight_max;
  segments_max[0] = std::clamp(segments_max[0], 1U, backend_->depth());
  for (size_t c = 0; c < kNReadClasses; ++c) {
    segments_max[c] = std::clamp(segments_max[c], 1U, segments_max[0]);
    Invariant(options_.bytes_in_flight_max[c] > 0, "of every class something may be under way");
  }
  Invariant(options_.segment_bytes > 0 && options_.segment_bytes % kIoAlignment == 0 &&
                options_.segment_bytes <= INT32_MAX,
            "a segment is a multiple of the alignment");
  requests_.resize(options_.n_requests_max);
  ended_.resize(options_.n_requests_max);
  segments_.resize(segments_max[0]);
  results_.resize(segments_max[0]);
  for (uint32_t i = options_.n_requests_max; i > 0; --i) {
    free_requests_.push_back(i - 1);
  }
  for (uint32_t i = segments_max[0]; i > 0; --i) {
    free_segments_.push_back(i - 1);
  }
}

Reader::~Reader() {
  for (const Request& request : requests_) {
    if (request.in_use) {
      Cancel(request.id);
    }
  }
  ResumePaused();
  while (n_in_flight_ > n_paused_) {
    backend_->Begin();
    Reap(kDrainStep);
  }
}

Result<ReadFileId> Reader::AddFile(std::shared_ptr<const File> file) {
  auto direct = backend_->AddFile(*file);
  if (!direct) {
    return Forward(direct);
  }
  files_.push_back({std::move(file), *direct});
  return ReadFileId{static_cast<uint32_t>(files_.size() - 1)};
}

std::optional<ReadBufferId> Reader::RegisterBuffer(std::span<std::byte> memory) {
  const auto index = backend_->RegisterBuffer(memory);
  return index ? std::optional(ReadBufferId{*index}) : std::nullopt;
}

void Reader::UnregisterBuffer(ReadBufferId buffer) { backend_->UnregisterBuffer(buffer.value); }

AlignedRange Reader::RangeOf(ReadFileId file, uint64_t offset, uint64_t bytes) const {
  return AlignRange(files_[file.value].file->window_begin() + offset, bytes);
}

std::optional<ReadId> Reader::Submit(const ReadRequest& request) {
  if (free_requests_.empty()) {
    return std::nullopt;
  }
  const uint32_t request_idx = free_requests_.back();
  free_requests_.pop_back();
  ++n_outstanding_;
  Request& r = requests_[request_idx];
  // The index is in the id, so that Cancel finds the request without a search.
  r = {.id = {n_submitted_++ * requests_.size() + request_idx},
       .request = request,
       .submitted = backend_->Now(),
       .in_use = true};
  r.completion = {.id = r.id, .tag = request.tag, .file = request.file};
  const uint64_t size = files_[request.file.value].file->size();
  if (request.bytes == 0 || request.offset > size || request.bytes > size - request.offset) {
    r.completion.error_number = ERANGE;
    r.completion.error_offset = request.offset;
    Fail(r, ReadOutcome::kFailed);
    EndRequest(request_idx);
    return r.id;
  }
  r.range = RangeOf(request.file, request.offset, request.bytes);
  Invariant(request.frame.size() >= r.range.bytes &&
                reinterpret_cast<uintptr_t>(request.frame.data()) % kIoAlignment == 0,
            "a frame is aligned and holds the blocks that are read");
  Enqueue(request_idx);
  return r.id;
}

void Reader::Enqueue(uint32_t request_idx) {
  Request& request = requests_[request_idx];
  Queue& queue = queues_[static_cast<size_t>(request.request.read_class)];
  request.queued = true;
  request.next = kNone;
  (queue.first == kNone ? queue.first : requests_[queue.last].next) = request_idx;
  queue.last = request_idx;
}

void Reader::Unlink(uint32_t request_idx) {
  Request& request = requests_[request_idx];
  Queue& queue = queues_[static_cast<size_t>(request.request.read_class)];
  uint32_t before = kNone;
  for (uint32_t i = queue.first; i != request_idx; i = requests_[i].next) {
    before = i;
  }
  (before == kNone ? queue.first : requests_[before].next) = request.next;
  if (queue.last == request_idx) {
    queue.last = before;
  }
  request.queued = false;
}

void Reader::Issue() {
  ResumePaused();
  uint32_t n_segments = 0;  // under way, of this class and those before it
  uint64_t bytes = 0;
  for (size_t c = 0; c < kNReadClasses; ++c) {
    Queue& queue = queues_[c];
    while (queue.first != kNone && !free_segments_.empty() &&
           n_segments + queue.n_in_flight < options_.segments_in_flight_max[c] &&
           bytes + queue.bytes_in_flight < options_.bytes_in_flight_max[c]) {
      const uint32_t request_idx = queue.first;
      Request& request = requests_[request_idx];
      BeginSegment(request, request_idx);
      if (request.issued == request.range.bytes) {
        Unlink(request_idx);
      }
    }
    if (queue.first != kNone) {
      break;  // what is left of this class goes before any later one
    }
    n_segments += queue.n_in_flight;
    bytes += queue.bytes_in_flight;
  }
  backend_->Begin();
}

void Reader::BeginSegment(Request& request, uint32_t request_idx) {
  const uint32_t segment_idx = free_segments_.back();
  free_segments_.pop_back();
  const uint64_t bytes = std::min(request.range.bytes - request.issued, options_.segment_bytes);
  const ReadClass read_class = request.request.read_class;
  segments_[segment_idx] = {
      .request = request_idx, .read_class = read_class, .offset = request.issued, .bytes = bytes};
  request.issued += bytes;
  ++request.n_segments;
  ++queues_[static_cast<size_t>(read_class)].n_in_flight;
  queues_[static_cast<size_t>(read_class)].bytes_in_flight += bytes;
  if (n_in_flight_++ == 0) {
    busy_since_ = backend_->Now();
  }
  ++stats_.segments;
  if (IsTraffic(read_class)) {
    options_.traffic->Begin();
  }
  StartRead(segment_idx);
}

void Reader::StartRead(uint32_t segment_idx) {
  const Segment& segment = segments_[segment_idx];
  const Request& request = requests_[segment.request];
  const uint64_t at = segment.offset + segment.done;
  backend_->Queue({
      .id = segment_idx,
      .file = request.request.file.value,
      // What is left of an unaligned short read has no place in direct I/O.
      .buffered = !files_[request.request.file.value].direct || segment.done % kIoAlignment != 0,
      .offset = request.range.begin + at,
      .bytes = static_cast<uint32_t>(segment.bytes - segment.done),
      .to = request.request.frame.data() + at,
      .buffer = request.request.buffer.value,
  });
}

void Reader::ResumePaused() {
  if (n_paused_ == 0) {
    return;
  }
  const nanoseconds now = backend_->Now();
  for (uint32_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    if (!segment.paused) {
      continue;
    }
    if (requests_[segment.request].completion.outcome != ReadOutcome::kDone) {
      segment.paused = false;
      --n_paused_;
      EndSegment(i);
    } else if (segment.resume_at <= now) {
      segment.paused = false;
      --n_paused_;
      StartRead(i);
    }
  }
}

nanoseconds Reader::NextResume() const {
  nanoseconds next = nanoseconds::max();
  for (const Segment& segment : segments_) {
    if (segment.paused) {
      next = std::min(next, segment.resume_at);
    }
  }
  return next;
}

size_t Reader::Reap(nanoseconds wait) {
  const size_t n = backend_->Reap(results_, wait);
  for (size_t i = 0; i < n; ++i) {
    OnRead(results_[i].id, results_[i].result);
  }
  return n;
}

void Reader::OnRead(uint32_t segment_idx, int32_t result) {
  if (result > 0) {
    OnBytes(segment_idx, static_cast<uint64_t>(result));
  } else if (result == 0) {
    OnEnd(segment_idx);
  } else {
    OnError(segment_idx, -result);
  }
}

uint64_t Reader::Needed(const Segment& segment) const {
  const Request& request = requests_[segment.request];
  const uint64_t data_end = request.range.data_offset + request.request.bytes;
  return std::min(segment.bytes, data_end - std::min(data_end, segment.offset));
}

void Reader::OnBytes(uint32_t segment_idx, uint64_t bytes) {
  Segment& segment = segments_[segment_idx];
  Request& request = requests_[segment.request];
  segment.done += bytes;
  segment.n_interruptions = 0;
  segment.n_errors = 0;
  stats_.classes[static_cast<size_t>(request.request.read_class)].bytes_read += bytes;
  const bool wanted = request.completion.outcome == ReadOutcome::kDone;
  if (wanted && segment.done < Needed(segment)) {
    ++stats_.short_reads;
    StartRead(segment_idx);
    return;
  }
  EndSegment(segment_idx);
}

// The end of the file, where bytes were when it was opened.
void Reader::OnEnd(uint32_t segment_idx) {
  Request& request = requests_[segments_[segment_idx].request];
  request.completion.change = FileChange::kTruncated;
  Fail(request, ReadOutcome::kFileChanged);
  EndSegment(segment_idx);
}

void Reader::OnError(uint32_t segment_idx, int error_number) {
  Segment& segment = segments_[segment_idx];
  Request& request = requests_[segment.request];
  if (request.completion.outcome != ReadOutcome::kDone) {
    EndSegment(segment_idx);
    return;
  }
  if (IsInterruption(error_number) && ++segment.n_interruptions <= kInterruptionsMax) {
    ++stats_.interruptions;
    StartRead(segment_idx);
    return;
  }
  OpenFile& file = files_[request.request.file.value];
  if (error_number == EINVAL && file.direct) {
    file.direct = false;  // some file systems refuse direct I/O only when it comes to reading
    StartRead(segment_idx);
    return;
  }
  if (segment.n_errors < kErrorRetries) {
    ++stats_.error_retries;
    segment.resume_at = backend_->Now() + ErrorPauseAfter(segment.n_errors++);
    segment.paused = true;
    ++n_paused_;
    return;
  }
  request.completion.error_number = error_number;
  const uint64_t at = request.range.begin + segment.offset + segment.done;
  request.completion.error_offset =
      std::max(at - std::min(at, file.file->window_begin()), request.request.offset);
  Fail(request, ReadOutcome::kFailed);
  EndSegment(segment_idx);
}

// The first cause counts.
void Reader::Fail(Request& request, ReadOutcome outcome) {
  if (request.completion.outcome == ReadOutcome::kDone) {
    request.completion.outcome = outcome;
  }
}

void Reader::EndSegment(uint32_t segment_idx) {
  const uint32_t request_idx = segments_[segment_idx].request;
  Request& request = requests_[request_idx];
  free_segments_.push_back(segment_idx);
  Queue& queue = queues_[static_cast<size_t>(segments_[segment_idx].read_class)];
  --queue.n_in_flight;
  queue.bytes_in_flight -= segments_[segment_idx].bytes;
  if (IsTraffic(segments_[segment_idx].read_class)) {
    options_.traffic->End();
  }
  if (--n_in_flight_ == 0) {
    stats_.busy += backend_->Now() - busy_since_;
  }
  --request.n_segments;
  if (request.completion.outcome != ReadOutcome::kDone && request.queued) {
    Unlink(request_idx);
  }
  if (request.n_segments == 0 && !request.queued) {
    EndRequest(request_idx);
  }
}

void Reader::EndRequest(uint32_t request_idx) {
  Request& request = requests_[request_idx];
  ReadCompletion& completion = request.completion;
  if (completion.outcome == ReadOutcome::kDone) {
    completion.change = backend_->Changed(request.request.file.value);
    if (completion.change != FileChange::kNone) {
      completion.outcome = ReadOutcome::kFileChanged;
    }
  }
  completion.latency = backend_->Now() - request.submitted;
  ReadClassStats& stats = stats_.classes[static_cast<size_t>(request.request.read_class)];
  if (completion.outcome == ReadOutcome::kDone) {
    ++stats.requests_done;
    stats.bytes_wanted += request.request.bytes;
  } else if (completion.outcome == ReadOutcome::kCancelled) {
    ++stats.requests_cancelled;
  } else {
    ++stats.requests_failed;
    ReportTrouble(completion);
  }
  request.in_use = false;
  ended_[(ended_begin_ + n_ended_++) % ended_.size()] = request_idx;
}

// A range that is not in the file is its owner's mistake.
void Reader::ReportTrouble(const ReadCompletion& completion) {
  if (options_.trouble != nullptr && completion.error_number != ERANGE) {
    options_.trouble->Report(files_[completion.file.value].file, completion.error_offset,
                             Describe(completion).message);
  }
}

void Reader::ReportOverdue() {
  const auto overdue = std::ranges::find_if(
      requests_, [](const Request& one) { return one.in_use && one.n_segments > 0; });
  if (options_.trouble != nullptr && overdue != requests_.end()) {
    const ReadRequest& request = overdue->request;
    options_.trouble->Report(files_[request.file.value].file, request.offset,
                             DescribeOverdue(kReadOverdue));
  }
}

uint32_t Reader::QueuedRequest(ReadId id) const {
  const auto request_idx = static_cast<uint32_t>(id.value % requests_.size());
  const Request& request = requests_[request_idx];
  return request.in_use && request.id == id && request.queued ? request_idx : kNone;
}

void Reader::Cancel(ReadId id) {
  const uint32_t request_idx = QueuedRequest(id);
  if (request_idx == kNone) {
    return;
  }
  Unlink(request_idx);
  Fail(requests_[request_idx], ReadOutcome::kCancelled);
  if (requests_[request_idx].n_segments == 0) {
    EndRequest(request_idx);
  }
}

void Reader::Promote(ReadId id, ReadClass read_class) {
  const uint32_t request_idx = QueuedRequest(id);
  if (request_idx == kNone || requests_[request_idx].request.read_class <= read_class) {
    return;
  }
  Unlink(request_idx);
  requests_[request_idx].request.read_class = read_class;
  Enqueue(request_idx);
}

size_t Reader::HandOut(std::span<ReadCompletion> completions) {
  const size_t n = std::min(completions.size(), n_ended_);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t request_idx = ended_[ended_begin_];
    ended_begin_ = (ended_begin_ + 1) % ended_.size();
    completions[i] = requests_[request_idx].completion;
    free_requests_.push_back(request_idx);
  }
  n_ended_ -= n;
  n_outstanding_ -= n;
  return n;
}

size_t Reader::Poll(std::span<ReadCompletion> completions) {
  Issue();
  while (Reap(nanoseconds(0)) > 0) {
    Issue();
  }
  return HandOut(completions);
}

size_t Reader::Wait(std::span<ReadCompletion> completions, nanoseconds bound) {
  const nanoseconds begin = backend_->Now();
  for (;;) {
    if (const size_t n = Poll(completions); n > 0 || n_outstanding_ == 0 || completions.empty()) {
      return n;
    }
    const nanoseconds now = backend_->Now();
    if (now - begin >= bound) {
      return 0;
    }
    nanoseconds wait = bound - (now - begin);
    if (n_paused_ > 0) {
      wait = std::clamp(NextResume() - now, nanoseconds(1), wait);
    }
    Reap(wait);
  }
}

Error Reader::Describe(const ReadCompletion& completion) const {
  const File& file = *files_[completion.file.value].file;
  switch (completion.outcome) {
    case ReadOutcome::kFileChanged:
      return file.DescribeChange(completion.change);
    case ReadOutcome::kFailed:
      if (completion.error_number == ERANGE) {
        return {ErrorKind::kIo, fmt::format("{}: a read at byte {} is not within its {} bytes",
                                            file.name(), completion.error_offset, file.size())};
      }
      return {ErrorKind::kIo,
              fmt::format("{}: cannot read at byte {}, also when tried again: {}.\nIs the disk in "
                          "order? (the system's log has more)",
                          file.name(), completion.error_offset,
                          std::strerror(completion.error_number))};
    case ReadOutcome::kCancelled:
      return {ErrorKind::kInterrupted, fmt::format("{}: a read was cancelled", file.name())};
    case ReadOutcome::kDone:
      break;
  }
  Invariant(false, "only what went wrong is described");
  return {};
}

}  // namespace plimsoll::io
