// The reader of packed files on whatever the fuzzer makes up: no crash, and what opens is sound:
// every record inside the file, every part inside its record, and lookups that stay in the tables.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/invariant.h"
#include "formats/packed/packed_file.h"
#include "formats/packed/test_packed.h"

using plimsoll::Invariant;
namespace packed = plimsoll::formats::packed;

namespace {

// A fuzzer finds no checksum and not the file's length, so both are made right, as is the
// fingerprint, which changes with the program; and a header is enough, for what lies behind it is
// not looked at when a file is opened.
std::string MakeLikely(std::string file) {
  constexpr uint64_t kHeaderBytesAt = 16;
  constexpr uint64_t kFileBytesAt = 24;
  constexpr uint64_t kFingerprintAt = 32;
  uint64_t header_bytes = 0;
  uint64_t file_bytes = 0;
  if (file.size() < kFingerprintAt + sizeof(uint64_t)) {
    return file;
  }
  static const uint64_t kFingerprint = packed::LayoutFingerprint({});  // without later types
  std::memcpy(file.data() + kFingerprintAt, &kFingerprint, sizeof kFingerprint);
  std::memcpy(&header_bytes, file.data() + kHeaderBytesAt, sizeof header_bytes);
  std::memcpy(&file_bytes, file.data() + kFileBytesAt, sizeof file_bytes);
  constexpr uint64_t kLargest = 1 << 20;
  if (file_bytes <= kLargest) {
    file.resize(file_bytes);
  }
  if (header_bytes >= sizeof(uint64_t) && header_bytes <= file.size()) {
    packed::Seal(file, header_bytes);
  }
  return file;
}

void CheckSound(const packed::PackedFile& file) {
  uint64_t end = file.header_bytes();
  for (uint32_t l = 0; l < file.layers().size(); ++l) {
    const packed::Layer& layer = file.layer(l);
    uint64_t at = 0;
    for (const packed::Part& part : layer.parts) {
      Invariant(part.offset == at && part.bytes <= part.covered_bytes, "parts follow one another");
      at += part.covered_bytes;
    }
    Invariant(at == layer.record_bytes && at <= layer.stride, "parts fill their record");
    if (layer.n_experts == 0) {
      continue;
    }
    Invariant(file.RecordOffset(l, 0) >= end, "records do not overlap");
    end = file.RecordOffset(l, layer.n_experts - 1) + layer.stride;
    Invariant(end <= file.file()->size(), "records lie inside the file");
    static_cast<void>(file.Checksum(l, layer.n_experts - 1, packed::kNProjections - 1));
  }
  for (size_t i = 0; i < file.sources().size(); ++i) {
    Invariant(file.Pieces(i).size() == file.sources()[i].n_pieces(), "every piece has a digest");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = MakeLikely(std::string(reinterpret_cast<const char*>(data), size));
  const auto file = plimsoll::io::File::FromBytes("input", std::as_bytes(std::span(bytes))).value();
  const auto opened = packed::PackedFile::Open(file);
  if (opened) {
    CheckSound(*opened);
    return 0;
  }
  const std::string& message = opened.error().message;
  Invariant(!message.empty(), "an error says something");
  Invariant(
      std::ranges::all_of(message, [](char c) { return static_cast<unsigned char>(c) >= 0x20; }),
      "an error cannot steer the terminal");
  return 0;
}
