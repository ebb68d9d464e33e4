// What the tests of readers share: aligned frames, and a file whose every byte is known.
#pragma once

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/rng.h"
#include "io/reader.h"

namespace plimsoll::io {

// A bound that only a hang reaches.
inline constexpr std::chrono::seconds kPatience{20};

struct FreeFrame {
  void operator()(std::byte* frame) const { std::free(frame); }
};
using Frame = std::unique_ptr<std::byte, FreeFrame>;

inline Frame MakeFrame(uint64_t bytes) {
  return Frame(static_cast<std::byte*>(std::aligned_alloc(kIoAlignment, bytes)));
}

// Tests run their long form.
inline bool IsNight() { return std::getenv("PLIMSOLL_NIGHT") != nullptr; }

// Of reads that are to be faulty: from 0.01 to 0.5, small ones as often as large ones.
inline double DrawnShare(uint64_t seed) { return 0.01 * std::pow(50, UniformAt(seed, 0, 9)); }

inline std::byte ByteAt(uint64_t offset) {
  return static_cast<std::byte>((offset * 0x9E3779B97F4A7C15U) >> 56);
}

inline void WriteTestFile(const std::filesystem::path& file, uint64_t bytes) {
  std::string text(bytes, '\0');
  for (uint64_t i = 0; i < bytes; ++i) {
    text[i] = static_cast<char>(ByteAt(i));
  }
  std::ofstream(file, std::ios::binary) << text;
}

// Of a request that is done on a test file that was opened whole.
inline bool HoldsTestBytes(const Reader& reader, const ReadRequest& request) {
  const AlignedRange range = reader.RangeOf(request.file, request.offset, request.bytes);
  for (uint64_t i = 0; i < request.bytes; ++i) {
    if (request.frame[range.data_offset + i] != ByteAt(request.offset + i)) {
      return false;
    }
  }
  return true;
}

}  // namespace plimsoll::io
