// One sequence in a file: its tokens, and their keys and values as they lie in memory. Every byte
// of the file is covered by a checksum; docs/formats.md has the format byte by byte.
//
// The file is bound to what it was made with: the model's identity, and where things lie in a block
// (LayoutDigest). Both are the caller's to compare: what was said can be read either way, keys and
// values only if they are the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/checksum.h"
#include "io/direct_file.h"
#include "io/file.h"
#include "kv/block_pool.h"

namespace plimsoll::kv {

inline constexpr std::string_view kSessionMagic = "PLIMSESS";
inline constexpr uint32_t kSessionVersion = 1;
inline constexpr uint32_t kMaxSessionTokens = 1U << 24U;
inline constexpr uint64_t kMaxNoteBytes = 64 << 20;
inline constexpr uint64_t kMaxBlockBytes = 1 << 30;
inline constexpr uint64_t kMaxStateBytes = uint64_t{16} << 30U;

// A number that changes with anything that says what the bytes of a block mean.
[[nodiscard]] io::Digest128 LayoutDigest(const BlockLayout& layout);

struct SavedSequence {
  io::Digest128 model;
  io::Digest128 layout;
  std::vector<TokenId> tokens;
  // The logical position of each slot whose keys and values are there; the blocks hold
  // kBlockTokens of them each. Tokens behind them are known and not computed.
  std::vector<uint32_t> positions;
  uint64_t block_bytes = 0;
  // What recurrent layers keep of all the tokens, of a fixed size; 0: the model has none.
  uint64_t state_bytes = 0;
  std::string note;  // whatever else the one who saves it wants to know again

  [[nodiscard]] uint64_t n_blocks() const { return BlockPool::BlocksFor(positions.size()); }
};

// Writes the file whole or not at all, for its owner's eyes alone. `blocks` has n_blocks() blocks
// of block_bytes each, `state` state_bytes. kIo; kUsage when it is larger than a file may be.
[[nodiscard]] Result<> SaveSequence(const std::filesystem::path& path,
                                    const SavedSequence& sequence,
                                    std::span<const std::byte* const> blocks,
                                    std::span<const std::byte> state);

// Such a file, opened. Immutable.
class SessionFile {
 public:
  // The file is hostile: whatever it holds, the answer is a sound header all of whose sizes are
  // within limits, or a kBadModel that says what is wrong and where. A file that was cut short
  // behind its header can be opened. kIo when it cannot be read.
  [[nodiscard]] static Result<SessionFile> Open(const std::filesystem::path& path);
  [[nodiscard]] static Result<SessionFile> Open(std::shared_ptr<const io::File> file);

  [[nodiscard]] const SavedSequence& sequence() const { return sequence_; }
  // What ReadBlock and ReadState fill: whole pages.
  [[nodiscard]] uint64_t block_stride() const;
  [[nodiscard]] uint64_t state_stride() const;

  // Block `idx` (below n_blocks()) into memory of block_stride() bytes; its own block_bytes come
  // first. kBadModel when its checksum is wrong or the file ends before it.
  [[nodiscard]] Result<> ReadBlock(uint64_t idx, std::span<std::byte> to) const;
  [[nodiscard]] Result<> ReadState(std::span<std::byte> to) const;
  // kBadModel for the first thing that is wrong anywhere in it: a block, the state, or bytes
  // behind the end. `frame` is of the larger stride.
  [[nodiscard]] Result<> Verify(std::span<std::byte> frame) const;

 private:
  SessionFile(std::shared_ptr<const io::File> file, io::DirectFile blocks)
      : file_(std::move(file)), blocks_(std::move(blocks)) {}

  [[nodiscard]] Result<> ReadChecked(uint64_t offset, std::span<std::byte> to, uint64_t checksum,
                                     std::string_view what) const;

  std::shared_ptr<const io::File> file_;
  io::DirectFile blocks_;
  SavedSequence sequence_;
  std::vector<uint64_t> checksums_;  // of the blocks, and the state
  uint64_t header_bytes_ = 0;
  uint64_t file_bytes_ = 0;
};

}  // namespace plimsoll::kv
