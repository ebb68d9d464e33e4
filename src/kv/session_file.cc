#include "kv/session_file.h"

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "base/checked.h"
#include "base/invariant.h"
#include "io/atomic_file.h"

namespace plimsoll::kv {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are stored as they are");

// Raised when the same layers lie in a block in another way, or mean something else.
constexpr uint32_t kBlockFormat = 2;

constexpr uint64_t kPage = io::kIoAlignment;
constexpr uint64_t kChecksumBytes = sizeof(uint64_t);

// What stands before the tables.
struct FixedPart {
  std::array<char, kSessionMagic.size()> magic;
  uint32_t version = kSessionVersion;
  uint32_t n_tokens = 0;
  uint64_t header_bytes = 0;
  uint64_t file_bytes = 0;
  uint64_t block_bytes = 0;
  uint64_t state_bytes = 0;
  uint64_t note_bytes = 0;
  uint32_t n_slots = 0;
  uint32_t block_tokens = kBlockTokens;
  io::Digest128 model;
  io::Digest128 layout;
};
static_assert(sizeof(FixedPart) == 96 && std::is_trivially_copyable_v<FixedPart>);

constexpr uint64_t kMaxHeaderBytes = sizeof(FixedPart) + uint64_t{kMaxSessionTokens} * 8 +
                                     kMaxNoteBytes + kMaxSessionTokens / kBlockTokens * 8 +
                                     2 * kPage;

// Where things lie: follows from the counts alone, which are within their limits.
struct Places {
  uint64_t header_bytes = 0;
  uint64_t n_blocks = 0;
  uint64_t block_stride = 0;
  uint64_t state_stride = 0;
  uint64_t file_bytes = 0;
};

Places PlacesOf(const FixedPart& fixed) {
  Places places;
  places.n_blocks = BlockPool::BlocksFor(fixed.n_slots);
  const uint64_t tables = (uint64_t{fixed.n_tokens} + fixed.n_slots) * sizeof(uint32_t) +
                          fixed.note_bytes + (places.n_blocks + 1) * kChecksumBytes;
  places.header_bytes = AlignUp(sizeof(FixedPart) + tables + kChecksumBytes, kPage);
  places.block_stride = AlignUp(fixed.block_bytes, kPage);
  places.state_stride = AlignUp(fixed.state_bytes, kPage);
  // At most 2^19 blocks of 2^30 bytes.
  places.file_bytes =
      places.header_bytes + places.n_blocks * places.block_stride + places.state_stride;
  return places;
}

// Which count is beyond its limit; "" if none is.
std::string BeyondLimits(const FixedPart& fixed) {
  if (fixed.n_tokens > kMaxSessionTokens || fixed.n_slots > fixed.n_tokens) {
    return fmt::format("{} tokens with {} slots", fixed.n_tokens, fixed.n_slots);
  }
  if (fixed.block_tokens != kBlockTokens) {
    return fmt::format("blocks of {} tokens", fixed.block_tokens);
  }
  if (fixed.block_bytes > kMaxBlockBytes || (fixed.n_slots > 0 && fixed.block_bytes == 0)) {
    return fmt::format("blocks of {} bytes", fixed.block_bytes);
  }
  if (fixed.state_bytes > kMaxStateBytes) {
    return fmt::format("a state of {} bytes", fixed.state_bytes);
  }
  if (fixed.note_bytes > kMaxNoteBytes) {
    return fmt::format("a note of {} bytes", fixed.note_bytes);
  }
  return {};
}

template <class T>
void Put(std::string& to, const T* values, size_t n) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (n > 0) {
    to.append(reinterpret_cast<const char*>(values), n * sizeof(T));
  }
}

// Takes values off the front of bytes that are known to be there.
template <class T>
void Take(std::string_view& from, T* values, size_t n) {
  static_assert(std::is_trivially_copyable_v<T>);
  Invariant(n * sizeof(T) <= from.size(), "the header is as long as its counts say");
  if (n > 0) {
    std::memcpy(values, from.data(), n * sizeof(T));
  }
  from.remove_prefix(n * sizeof(T));
}

// Of `bytes` and the zeros behind them up to a page.
uint64_t PaddedChecksum(io::Digester& digester, std::span<const std::byte> bytes) {
  static constexpr std::array<std::byte, kPage> kZeros = {};
  digester.Reset();
  digester.Add(bytes);
  digester.Add(std::span(kZeros).first(AlignUp<uint64_t>(bytes.size(), kPage) - bytes.size()));
  return digester.Sum64();
}

Result<> AppendPadded(io::AtomicFile& file, std::span<const std::byte> bytes) {
  static constexpr std::array<std::byte, kPage> kZeros = {};
  if (auto appended = file.Append(bytes); !appended) {
    return appended;
  }
  return file.Append(std::span(kZeros).first(AlignUp(file.size(), kPage) - file.size()));
}

std::string EncodeHeader(const SavedSequence& sequence, const FixedPart& fixed,
                         std::span<const uint64_t> checksums) {
  std::string header;
  header.reserve(fixed.header_bytes);
  Put(header, &fixed, 1);
  Put(header, sequence.tokens.data(), sequence.tokens.size());
  Put(header, sequence.positions.data(), sequence.positions.size());
  header += sequence.note;
  Put(header, checksums.data(), checksums.size());
  header.resize(fixed.header_bytes - kChecksumBytes);
  const uint64_t checksum = io::Checksum64(AsBytes(header));
  Put(header, &checksum, 1);
  return header;
}

// Magic, version and length: all that must be right before the checksum can be looked at.
Result<FixedPart> ReadFixedPart(const io::File& file) {
  FixedPart fixed;
  std::string text(std::min<uint64_t>(sizeof fixed, file.size()), '\0');
  if (auto read = file.ReadAt(0, std::as_writable_bytes(std::span(text))); !read) {
    return Forward(read);
  }
  if (!text.starts_with(kSessionMagic)) {
    return Fail(ErrorKind::kBadModel, "{} is no session file: it does not begin with \"{}\"",
                file.name(), kSessionMagic);
  }
  if (text.size() < sizeof fixed) {
    return Fail(ErrorKind::kBadModel, "{}: the file ends within its header (at byte {})",
                file.name(), text.size());
  }
  std::memcpy(&fixed, text.data(), sizeof fixed);
  if (fixed.version != kSessionVersion) {
    return Fail(ErrorKind::kBadModel,
                "{}: version {} of session files is not supported, only {} (at byte 8)",
                file.name(), fixed.version, kSessionVersion);
  }
  if (fixed.header_bytes < kPage || fixed.header_bytes % kPage != 0 ||
      fixed.header_bytes > kMaxHeaderBytes || fixed.header_bytes > file.size()) {
    return Fail(ErrorKind::kBadModel,
                "{}: a header of {} bytes does not fit into the file's {} (at byte 16)",
                file.name(), fixed.header_bytes, file.size());
  }
  return fixed;
}

}  // namespace

io::Digest128 LayoutDigest(const BlockLayout& layout) {
  std::string text = fmt::format("{} {} {}", kBlockFormat, kBlockTokens, layout.block_bytes());
  for (size_t i = 0; i < layout.n_layers(); ++i) {
    const BlockLayout::Layer& layer = layout.layer(i);
    text += fmt::format(" {},{},{},{},{},{}", layer.n_kv_heads, layer.head_dim_k, layer.head_dim_v,
                        layer.values_in_keys ? 1 : 0, static_cast<int>(layer.type),
                        layer.rotated ? 1 : 0);
    if (const auto& state = layer.state; state.n_memories > 0) {
      text += fmt::format(",{},{},{},{}", state.n_memories, state.memory_bytes, state.n_inputs,
                          state.input_bytes);
    }
  }
  return io::Checksum128(AsBytes(text));
}

Result<> SaveSequence(const std::filesystem::path& path, const SavedSequence& sequence,
                      std::span<const std::byte* const> blocks, std::span<const std::byte> state) {
  Invariant(blocks.size() == sequence.n_blocks() && state.size() == sequence.state_bytes,
            "the blocks hold the slots");
  FixedPart fixed;
  std::ranges::copy(kSessionMagic, fixed.magic.begin());
  fixed.n_tokens = CheckedCast<uint32_t>(sequence.tokens.size()).value_or(UINT32_MAX);
  fixed.n_slots = CheckedCast<uint32_t>(sequence.positions.size()).value_or(UINT32_MAX);
  fixed.block_bytes = sequence.block_bytes;
  fixed.state_bytes = sequence.state_bytes;
  fixed.note_bytes = sequence.note.size();
  fixed.model = sequence.model;
  fixed.layout = sequence.layout;
  if (const std::string beyond = BeyondLimits(fixed); !beyond.empty()) {
    return Fail(ErrorKind::kUsage, "{} are beyond what a session file can hold", beyond);
  }
  const Places places = PlacesOf(fixed);
  fixed.header_bytes = places.header_bytes;
  fixed.file_bytes = places.file_bytes;

  io::Digester digester;
  std::vector<uint64_t> checksums;
  for (const std::byte* block : blocks) {
    checksums.push_back(PaddedChecksum(digester, {block, fixed.block_bytes}));
  }
  checksums.push_back(PaddedChecksum(digester, state));

  auto file = io::AtomicFile::Create(path, 0600);
  if (!file) {
    return Forward(file);
  }
  if (auto begun = file->Append(AsBytes(EncodeHeader(sequence, fixed, checksums))); !begun) {
    return begun;
  }
  for (const std::byte* block : blocks) {
    if (auto appended = AppendPadded(*file, {block, fixed.block_bytes}); !appended) {
      return appended;
    }
  }
  if (auto appended = AppendPadded(*file, state); !appended) {
    return appended;
  }
  return file->Commit();
}

Result<SessionFile> SessionFile::Open(const std::filesystem::path& path) {
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  return Open(*std::move(file));
}

Result<SessionFile> SessionFile::Open(std::shared_ptr<const io::File> file) {
  auto fixed = ReadFixedPart(*file);
  if (!fixed) {
    return Forward(fixed);
  }
  std::string header(fixed->header_bytes, '\0');
  if (auto read = file->ReadAt(0, std::as_writable_bytes(std::span(header))); !read) {
    return Forward(read);
  }
  std::string_view rest = std::string_view(header).substr(header.size() - kChecksumBytes);
  uint64_t checksum = 0;
  Take(rest, &checksum, 1);
  if (checksum != io::Checksum64(AsBytes(header).first(header.size() - kChecksumBytes))) {
    return Fail(ErrorKind::kBadModel, "{}: the header is damaged: its checksum is wrong",
                file->name());
  }
  if (const std::string beyond = BeyondLimits(*fixed); !beyond.empty()) {
    return Fail(ErrorKind::kBadModel, "{}: {} are beyond what a session file can hold",
                file->name(), beyond);
  }
  const Places places = PlacesOf(*fixed);
  if (places.header_bytes != fixed->header_bytes || places.file_bytes != fixed->file_bytes) {
    return Fail(ErrorKind::kBadModel, "{}: its lengths are not what its counts make them",
                file->name());
  }
  auto blocks = io::DirectFile::OpenForReading(*file);
  if (!blocks) {
    return Forward(blocks);
  }
  SessionFile session(std::move(file), *std::move(blocks));
  SavedSequence& sequence = session.sequence_;
  sequence.model = fixed->model;
  sequence.layout = fixed->layout;
  sequence.block_bytes = fixed->block_bytes;
  sequence.state_bytes = fixed->state_bytes;
  sequence.tokens.resize(fixed->n_tokens);
  sequence.positions.resize(fixed->n_slots);
  sequence.note.resize(fixed->note_bytes);
  session.checksums_.resize(places.n_blocks + 1);
  rest = std::string_view(header).substr(sizeof(FixedPart));
  Take(rest, sequence.tokens.data(), sequence.tokens.size());
  Take(rest, sequence.positions.data(), sequence.positions.size());
  Take(rest, sequence.note.data(), sequence.note.size());
  Take(rest, session.checksums_.data(), session.checksums_.size());
  session.header_bytes_ = places.header_bytes;
  session.file_bytes_ = places.file_bytes;
  return session;
}

uint64_t SessionFile::block_stride() const { return AlignUp(sequence_.block_bytes, kPage); }
uint64_t SessionFile::state_stride() const { return AlignUp(sequence_.state_bytes, kPage); }

Result<> SessionFile::ReadChecked(uint64_t offset, std::span<std::byte> to, uint64_t checksum,
                                  std::string_view what) const {
  if (offset + to.size() > file_->size()) {
    return Fail(ErrorKind::kBadModel, "{} was cut short: it ends before {} does", file_->name(),
                what);
  }
  if (auto read = blocks_.ReadAt(offset, to); !read) {
    return read;
  }
  if (io::Checksum64(to) != checksum) {
    return Fail(ErrorKind::kBadModel, "{}: {} is damaged: its checksum is wrong (from byte {})",
                file_->name(), what, offset);
  }
  return {};
}

Result<> SessionFile::ReadBlock(uint64_t idx, std::span<std::byte> to) const {
  Invariant(idx < sequence_.n_blocks() && to.size() == block_stride(), "a block of the file");
  return ReadChecked(header_bytes_ + idx * block_stride(), to, checksums_[idx],
                     fmt::format("block {}", idx));
}

Result<> SessionFile::ReadState(std::span<std::byte> to) const {
  Invariant(to.size() == state_stride(), "the state and what fills its last page");
  return ReadChecked(file_bytes_ - state_stride(), to, checksums_.back(), "the state");
}

Result<> SessionFile::Verify(std::span<std::byte> frame) const {
  for (uint64_t i = 0; i < sequence_.n_blocks(); ++i) {
    if (auto read = ReadBlock(i, frame.first(block_stride())); !read) {
      return read;
    }
  }
  if (auto read = ReadState(frame.first(state_stride())); !read) {
    return read;
  }
  if (file_->size() != file_bytes_) {
    return Fail(ErrorKind::kBadModel, "{} has {} bytes instead of {}", file_->name(), file_->size(),
                file_bytes_);
  }
  return {};
}

}  // namespace plimsoll::kv
