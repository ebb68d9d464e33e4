// The reader of session files on whatever the fuzzer makes up: no crash, and of what opens every
// length is within its limit and every block is either sound or refused.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/invariant.h"
#include "kv/session_file.h"

using plimsoll::Invariant;
namespace kv = plimsoll::kv;

namespace {

// A fuzzer finds no checksum, so the header's is made right.
std::string MakeLikely(std::string file) {
  constexpr uint64_t kHeaderBytesAt = 16;
  constexpr uint64_t kChecksumBytes = sizeof(uint64_t);
  uint64_t header_bytes = 0;
  if (file.size() < kHeaderBytesAt + sizeof header_bytes) {
    return file;
  }
  std::memcpy(&header_bytes, file.data() + kHeaderBytesAt, sizeof header_bytes);
  if (header_bytes >= kChecksumBytes && header_bytes <= file.size()) {
    const uint64_t at = header_bytes - kChecksumBytes;
    const uint64_t sum = plimsoll::io::Checksum64(plimsoll::AsBytes(file).first(at));
    std::memcpy(file.data() + at, &sum, sizeof sum);
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes = MakeLikely(std::string(reinterpret_cast<const char*>(data), size));
  const auto file = plimsoll::io::File::FromBytes("input", plimsoll::AsBytes(bytes)).value();
  const auto session = kv::SessionFile::Open(file);
  if (!session) {
    Invariant(!session.error().message.empty(), "an error says something");
    return 0;
  }
  const kv::SavedSequence& sequence = session->sequence();
  Invariant(sequence.positions.size() <= sequence.tokens.size(), "a slot is of a token");
  Invariant(sequence.tokens.size() * sizeof(int32_t) + sequence.note.size() <= size,
            "the header is in the file");
  constexpr uint64_t kLargest = 1 << 20;
  const uint64_t stride = std::max(session->block_stride(), session->state_stride());
  if (stride <= kLargest) {
    std::vector<std::byte> frame(stride);
    static_cast<void>(session->Verify(frame));
  }
  return 0;
}
