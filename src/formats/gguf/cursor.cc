#include "formats/gguf/cursor.h"

#include <algorithm>

#include "base/bytes.h"

namespace plimsoll::formats::gguf {
namespace {

constexpr uint64_t kBufferBytes = 64 * kKiB;

}  // namespace

Cursor::Cursor(const io::File& file, uint64_t limit)
    : file_(file), end_(std::min(file.size(), limit)) {}

Result<std::string> Cursor::ReadString(uint64_t max_bytes) {
  const uint64_t at = offset_;
  auto length = Read<uint64_t>();
  if (!length) {
    return Forward(length);
  }
  if (*length > max_bytes) {
    return Bad(at, "a string of {} bytes is longer than the {} that are allowed", *length,
               max_bytes);
  }
  if (*length > remaining()) {
    return Bad(at, "a string of {} bytes does not fit into the {} that are left of the file",
               *length, remaining());
  }
  std::string text(*length, '\0');
  auto read = ReadInto(std::as_writable_bytes(std::span(text)));
  if (!read) {
    return Forward(read);
  }
  return text;
}

Result<> Cursor::ReadInto(std::span<std::byte> out) {
  if (out.size() > remaining()) {
    if (end_ < file_.size()) {
      return Bad(offset_, "the header is longer than the {} that are allowed", FormatBytes(end_));
    }
    return Bad(offset_, "the file ends here, {} bytes too early; it may be cut short",
               out.size() - remaining());
  }
  while (!out.empty()) {
    const uint64_t buffer_end = buffer_offset_ + buffer_.size();
    if (offset_ >= buffer_end) {
      auto refilled = Refill();
      if (!refilled) {
        return refilled;
      }
      continue;
    }
    const uint64_t n = std::min<uint64_t>(out.size(), buffer_end - offset_);
    std::memcpy(out.data(), buffer_.data() + (offset_ - buffer_offset_), n);
    offset_ += n;
    out = out.subspan(n);
  }
  return {};
}

Result<> Cursor::Refill() {
  buffer_.resize(std::min(kBufferBytes, end_ - offset_));
  buffer_offset_ = offset_;
  return file_.ReadAt(offset_, buffer_);
}

}  // namespace plimsoll::formats::gguf
