#include "io/file_stream.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/invariant.h"

namespace plimsoll::io {

Result<std::unique_ptr<FileStream>> FileStream::Create(const FileStreamOptions& options) {
  // A window of a file may begin anywhere, so its aligned ranges can have a block more.
  auto memory = FrameMemory::Allocate(options.n_buffers * (options.buffer_bytes + kIoAlignment));
  if (!memory) {
    return Forward(memory);
  }
  ReaderOptions reader_options;
  constexpr auto kClass = static_cast<size_t>(ReadClass::kBackground);
  reader_options.segments_in_flight_max[kClass] = options.backend.depth;
  reader_options.bytes_in_flight_max[kClass] = options.n_buffers * options.buffer_bytes;
  auto reader = MakeReader(options.backend, reader_options);
  if (!reader) {
    return Forward(reader);
  }
  return std::unique_ptr<FileStream>(
      new FileStream(options, *std::move(memory), *std::move(reader)));
}

FileStream::FileStream(const FileStreamOptions& options, FrameMemory memory,
                       std::unique_ptr<Reader> reader)
    : options_(options), memory_(std::move(memory)), reader_(std::move(reader)) {
  Invariant(options.n_buffers >= 2, "one buffer is read while another is looked at");
  const uint64_t frame_bytes = options.buffer_bytes + kIoAlignment;
  for (uint32_t i = 0; i < options.n_buffers; ++i) {
    buffers_.push_back({.frame = memory_.span().subspan(i * frame_bytes, frame_bytes)});
  }
}

Result<ReadFileId> FileStream::AddFile(std::shared_ptr<const File> file) {
  return reader_->AddFile(std::move(file));
}

void FileStream::Start(std::vector<Range> ranges) {
  Invariant(n_asked_ == n_given_, "a stream is over before the next one starts");
  std::erase_if(ranges, [](const Range& range) { return range.bytes == 0; });
  ranges_ = std::move(ranges);
  range_idx_ = 0;
  range_done_ = 0;
  ReadAhead();
}

// Keeps every buffer busy but the one that was given out last.
void FileStream::ReadAhead() {
  while (range_idx_ < ranges_.size() && n_asked_ - n_given_ < buffers_.size() - 1) {
    const Range& range = ranges_[range_idx_];
    const uint64_t offset = range.offset + range_done_;
    const uint64_t to_boundary = options_.buffer_bytes - offset % options_.buffer_bytes;
    const uint64_t bytes = std::min(range.bytes - range_done_, to_boundary);
    const uint64_t slot = n_asked_ % buffers_.size();
    Buffer& buffer = buffers_[slot];
    const AlignedRange aligned = reader_->RangeOf(range.file, offset, bytes);
    buffer.chunk = {range.file, offset, buffer.frame.subspan(aligned.data_offset, bytes)};
    buffer.is_there = false;
    const auto id = reader_->Submit({.file = range.file,
                                     .offset = offset,
                                     .bytes = bytes,
                                     .frame = buffer.frame.first(aligned.bytes),
                                     .read_class = ReadClass::kBackground,
                                     .tag = slot});
    Invariant(id.has_value(), "a reader takes as many requests as there are buffers");
    ++n_asked_;
    range_done_ += bytes;
    if (range_done_ == range.bytes) {
      ++range_idx_;
      range_done_ = 0;
    }
  }
  reader_->Issue();
}

Result<> FileStream::WaitFor(const Buffer& buffer) {
  while (!buffer.is_there) {
    std::array<ReadCompletion, 16> completions;
    const size_t n = reader_->Wait(completions, options_.patience);
    if (n == 0) {
      return Fail(ErrorKind::kIo, "the disk has not answered for {} s", options_.patience.count());
    }
    for (size_t i = 0; i < n; ++i) {
      if (completions[i].outcome != ReadOutcome::kDone) {
        return tl::unexpected(reader_->Describe(completions[i]));
      }
      buffers_[completions[i].tag].is_there = true;
    }
  }
  return {};
}

Result<std::optional<FileStream::Chunk>> FileStream::Next() {
  if (n_given_ == n_asked_) {
    return std::nullopt;
  }
  const Buffer& buffer = buffers_[n_given_ % buffers_.size()];
  if (auto there = WaitFor(buffer); !there) {
    return Forward(there);
  }
  ++n_given_;
  ReadAhead();
  return buffer.chunk;
}

}  // namespace plimsoll::io
