// The binary format: a header, then blocks that are each whole or not there, so that what a killed
// process wrote can be read up to its last block.
//
//   header   magic "PLMTRACE", u32 version 1, u32 n_layers,
//            model and architecture: u32 length, bytes (UTF-8),
//            a layer: u32 n_experts, u32 n_active, u32 n_ranked, u64 expert bytes,
//            u64 checksum of the header's bytes before it
//   block    u32 payload bytes, u64 checksum of the payload, payload: visits
//   visit    varint passes since the last visit's, varint layer, u8 phase (0 decode, 1 prefill),
//            varint n_tokens, then n_tokens * n_ranked of the layer times:
//            varint expert, u16 probability (the upper half of its binary32)
//
// All integers are little-endian, varints as in LEB128; checksums are FNV-1a, 64 bits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "memory/trace/trace.h"

namespace plimsoll::memory::trace {

inline constexpr std::string_view kTraceMagic = "PLMTRACE";
inline constexpr uint32_t kBlockBytesMax = uint32_t{1} << 26;

// Layers that are routed have n_active and n_ranked set.
[[nodiscard]] std::string EncodeTraceHeader(std::string_view model, std::string_view architecture,
                                            std::span<const TraceLayer> layers);

[[nodiscard]] std::string EncodeBlock(std::string_view payload);

// Collects visits into one block.
class BlockEncoder {
 public:
  // `ranked` is [n_tokens][n_ranked]. Passes ascend.
  void Add(uint32_t layer, uint32_t pass, policy::Phase phase, uint32_t n_tokens,
           std::span<const Choice> ranked);
  [[nodiscard]] size_t payload_bytes() const { return payload_.size(); }
  // The block, and starts the next.
  [[nodiscard]] std::string TakeBlock();

 private:
  std::string payload_;
  uint32_t last_pass_ = 0;
};

// kFailed with the byte offset of what is wrong. A last block that is not whole is left out:
// `*ignored_bytes`, if given, says how much that was.
[[nodiscard]] Result<Trace> ParseBinaryTrace(std::string_view bytes, std::string_view name,
                                             uint64_t* ignored_bytes = nullptr);

}  // namespace plimsoll::memory::trace
