// Reads a file's header from front to back through a small buffer. Every error names the file, the
// field that was being read and the byte where it stands.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/file.h"

namespace plimsoll::formats::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF's numbers are read in place");

class Cursor {
 public:
  // Reading past `limit` bytes is an error even where the file is longer. The file must outlive
  // the cursor.
  Cursor(const io::File& file, uint64_t limit);

  [[nodiscard]] uint64_t offset() const { return offset_; }
  // Bytes that can still be read.
  [[nodiscard]] uint64_t remaining() const { return end_ - offset_; }

  // What the next reads are about, for errors: "key 'general.name'".
  void SetField(std::string field) { field_ = std::move(field); }

  template <class T>
  [[nodiscard]] Result<T> Read() {
    T value;
    auto read = ReadInto(std::as_writable_bytes(std::span(&value, 1)));
    if (!read) {
      return Forward(read);
    }
    return value;
  }

  // A length (64 bits) and as many bytes; refused above `max_bytes` or what is left of the file.
  [[nodiscard]] Result<std::string> ReadString(uint64_t max_bytes);

  // Appends `n` numbers to `out`, converted.
  template <class T, class Element>
  [[nodiscard]] Result<> ReadNumbers(uint64_t n, std::vector<Element>& out) {
    std::array<T, 1024> chunk;
    while (n > 0) {
      const auto numbers = std::span(chunk).first(std::min<uint64_t>(n, chunk.size()));
      auto read = ReadInto(std::as_writable_bytes(numbers));
      if (!read) {
        return read;
      }
      for (const T number : numbers) {
        out.push_back(static_cast<Element>(number));
      }
      n -= numbers.size();
    }
    return {};
  }

  // kBadModel: "model.gguf: key 'x': <what> (at byte N)".
  template <class... Args>
  [[nodiscard]] tl::unexpected<Error> Bad(uint64_t at, fmt::format_string<Args...> format,
                                          Args&&... args) const {
    return Fail(ErrorKind::kBadModel, "{}: {}: {} (at byte {})", file_.name(), field_,
                fmt::format(format, std::forward<Args>(args)...), at);
  }

 private:
  [[nodiscard]] Result<> ReadInto(std::span<std::byte> out);
  [[nodiscard]] Result<> Refill();

  const io::File& file_;
  uint64_t end_;
  uint64_t offset_ = 0;
  std::string field_ = "header";
  std::vector<std::byte> buffer_;
  uint64_t buffer_offset_ = 0;  // in the file, of buffer_[0]
};

}  // namespace plimsoll::formats::gguf
