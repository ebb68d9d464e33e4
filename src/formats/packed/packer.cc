#include "formats/packed/packer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/invariant.h"
#include "formats/packed/checksum_spans.h"
#include "formats/packed/header.h"
#include "formats/packed/part_list.h"
#include "formats/packed/source.h"
#include "io/resumable_file.h"
#include "tensor/rows16.h"

namespace plimsoll::formats::packed {
namespace {

// A part that is still to be made, and where its matrix comes from.
struct MissingPart {
  size_t part_idx = 0;
  FileRange range;
};

class Packer {
 public:
  Packer(const Catalogue& catalogue, const std::vector<SourceLayer>& layers,
         const PackOptions& options)
      : catalogue_(catalogue), layers_(layers), options_(options) {}

  Result<PackOutcome> Run(const std::filesystem::path& path);

 private:
  Result<> Identify();
  Result<std::vector<uint64_t>> Stamps() const;
  Result<> LayOut();
  // The header up to the tables, as it is while the file is written, or when it is finished.
  std::string HeaderStart(bool is_whole) const;
  Result<> Begin(io::ResumableFile& file);
  bool TakeTables(const io::ResumableFile& file);
  Result<> WritePieces(io::ResumableFile& file);
  Result<> CheckWhatIsThere(const io::ResumableFile& file);
  Result<> FindMissing();
  void FindRanges();
  Result<> ReadModel(io::ResumableFile& file);
  Result<> OnChunk(const io::FileStream::Chunk& chunk, io::ResumableFile& file);
  Result<> HashPieces(const io::FileStream::Chunk& chunk, io::ResumableFile& file);
  Result<> CollectMatrices(const io::FileStream::Chunk& chunk, io::ResumableFile& file);
  Result<> WritePart(const MissingPart& missing, io::ResumableFile& file);
  Result<> Finish(io::ResumableFile& file);
  Result<> OnBytes(uint64_t bytes);

  const Catalogue& catalogue_;
  const std::vector<SourceLayer>& layers_;
  const PackOptions& options_;
  std::unique_ptr<io::FileStream> stream_;

  Header header_;
  HeaderTables tables_;
  FileLayout layout_;
  std::vector<PartPlace> parts_;
  std::vector<uint64_t> first_piece_;  // of each source file

  std::vector<MissingPart> missing_;  // in the order in which they come
  std::vector<io::FileStream::Range> ranges_;
  size_t next_missing_ = 0;
  // Where missing_[next_missing_] is put together: at an address that goes to its place in the file
  // without a copy.
  io::FrameMemory frame_;
  std::span<std::byte> matrix_;
  uint64_t matrix_done_ = 0;  // bytes that have come
  std::optional<tensor::Rows16Interleaver> interleaver_;
  io::Digester piece_digester_;

  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_ = 0;
  PackOutcome outcome_;
};

Result<> Packer::OnBytes(uint64_t bytes) {
  bytes_done_ += bytes;
  if (options_.on_progress) {
    options_.on_progress(bytes_done_, bytes_total_);
  }
  if (options_.is_stopped && options_.is_stopped()) {
    return Fail(ErrorKind::kInterrupted, "packing was stopped");
  }
  return {};
}

Result<std::vector<uint64_t>> Packer::Stamps() const {
  std::vector<uint64_t> stamps;
  for (const auto& file : catalogue_.files) {
    auto stamp = file->Stamp();
    if (!stamp) {
      return Forward(stamp);
    }
    stamps.push_back(*stamp);
  }
  return stamps;
}

Result<> Packer::Identify() {
  auto stamps = Stamps();
  if (!stamps) {
    return Forward(stamps);
  }
  auto sources = IdentifySources(catalogue_);
  if (!sources) {
    return Forward(sources);
  }
  uint64_t n_pieces = 0;
  for (size_t i = 0; i < sources->size(); ++i) {
    (*sources)[i].stamp = (*stamps)[i];
    first_piece_.push_back(n_pieces);
    n_pieces += (*sources)[i].n_pieces();
  }
  header_.sources = *std::move(sources);
  return {};
}

Result<> Packer::LayOut() {
  for (const SourceLayer& layer : layers_) {
    header_.layers.push_back(layer.shape);
  }
  header_.layout_fingerprint = LayoutFingerprint(header_.layers);
  auto tables = PlaceTables(header_.sources, header_.layers);
  if (!tables) {
    return Forward(tables);
  }
  tables_ = *tables;
  auto layout = MakeLayout(header_.layers, tables_.header_bytes);
  if (!layout) {
    return Forward(layout);
  }
  layout_ = *std::move(layout);
  parts_ = ListParts(layout_);
  header_.checksums.assign(parts_.size(), 0);
  header_.pieces.assign((tables_.checksum - tables_.pieces) / sizeof(io::Digest128), {});
  uint64_t largest = 0;
  for (const PartPlace& part : parts_) {
    largest = std::max(largest, part.part->covered_bytes);
  }
  auto frame = io::FrameMemory::Allocate(largest + io::kIoAlignment);
  if (!frame) {
    return Forward(frame);
  }
  frame_ = *std::move(frame);
  outcome_.file_bytes = layout_.file_bytes;
  outcome_.n_matrices = parts_.size();
  return {};
}

std::string Packer::HeaderStart(bool is_whole) const {
  Header header = header_;
  header.is_whole = is_whole;
  if (is_whole) {
    for (SourceFile& source : header.sources) {
      source.stamp = 0;
    }
  }
  return Encode(header).substr(0, tables_.checksums);
}

// The tables of what an earlier run left, when that run packed the same.
bool Packer::TakeTables(const io::ResumableFile& file) {
  if (file.size() != layout_.file_bytes) {
    return false;
  }
  std::string text(tables_.header_bytes, '\0');
  if (!file.ReadAt(0, std::as_writable_bytes(std::span(text)))) {
    return false;
  }
  const std::string_view all = text;
  const bool is_whole = all.starts_with(HeaderStart(true));
  if (!is_whole && !all.starts_with(HeaderStart(false))) {
    return false;
  }
  // Finished, but for its name, when the process ended in between: then the checksum is the
  // header's.
  const uint64_t summed_from = is_whole ? 0 : tables_.pieces;
  uint64_t checksum = 0;
  std::memcpy(&checksum, all.data() + tables_.checksum, sizeof checksum);
  const bool is_sound =
      checksum == io::Checksum64(AsBytes(all.substr(summed_from, tables_.checksum - summed_from)));
  if (is_whole && !is_sound) {
    return false;
  }
  std::memcpy(header_.checksums.data(), all.data() + tables_.checksums,
              tables_.pieces - tables_.checksums);
  if (is_sound) {
    std::memcpy(header_.pieces.data(), all.data() + tables_.pieces,
                tables_.checksum - tables_.pieces);
  }
  return true;
}

// The parts prove themselves; what the pieces of the model were only the table knows, so it has a
// checksum of its own, where the finished header's will be.
Result<> Packer::WritePieces(io::ResumableFile& file) {
  const auto pieces = std::as_bytes(std::span(header_.pieces));
  const uint64_t checksum = io::Checksum64(pieces);
  std::vector<std::byte> bytes(pieces.size() + sizeof checksum);
  std::memcpy(bytes.data(), pieces.data(), pieces.size());
  std::memcpy(bytes.data() + pieces.size(), &checksum, sizeof checksum);
  return file.WriteAt(tables_.pieces, bytes);
}

Result<> Packer::Begin(io::ResumableFile& file) {
  if (TakeTables(file)) {
    return CheckWhatIsThere(file);
  }
  auto begun = file.Restart(layout_.file_bytes);
  if (begun) {
    begun = file.WriteAt(0, AsBytes(HeaderStart(false)));
  }
  if (!begun) {
    file.Discard();
  }
  return begun;
}

// A checksum of 0 stands for a part that was not written; one in 2^64 is made again for nothing.
Result<> Packer::CheckWhatIsThere(const io::ResumableFile& file) {
  std::vector<ByteSpan> spans;
  std::vector<size_t> part_of_span;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (header_.checksums[i] != 0) {
      spans.push_back({parts_[i].offset, parts_[i].part->covered_bytes});
      part_of_span.push_back(i);
      bytes_total_ += parts_[i].part->covered_bytes;
    }
  }
  auto partial = io::File::Open(file.partial_path());
  if (!partial) {
    return Forward(partial);
  }
  const auto id = stream_->AddFile(*partial);
  if (!id) {
    return tl::unexpected<Error>(id.error());
  }
  for (const SourceFile& source : header_.sources) {
    bytes_total_ += source.bytes;  // until it is known better
  }
  outcome_.n_matrices_kept = spans.size();
  auto checked = ChecksumSpans(
      *stream_, *id, spans,
      [&](size_t span, uint64_t checksum) {
        uint64_t& known = header_.checksums[part_of_span[span]];
        if (known != checksum) {
          known = 0;
          --outcome_.n_matrices_kept;
        }
      },
      [&](uint64_t bytes) { return OnBytes(bytes); });
  return checked;
}

Result<> Packer::FindMissing() {
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (header_.checksums[i] == 0) {
      const PartPlace& part = parts_[i];
      missing_.push_back({i, layers_[part.layer].experts[part.expert][part.projection]});
      Invariant(missing_.back().range.bytes == part.part->bytes,
                "a matrix is as long as its shape");
    }
  }
  std::ranges::sort(missing_, {}, [](const MissingPart& part) {
    return std::pair(part.range.file_idx, part.range.offset);
  });
  for (size_t i = 1; i < missing_.size(); ++i) {
    const FileRange& before = missing_[i - 1].range;
    const FileRange& range = missing_[i].range;
    if (before.file_idx == range.file_idx && before.offset + before.bytes > range.offset) {
      return Fail(ErrorKind::kBadModel, "{}: two experts' matrices overlap (at byte {})",
                  catalogue_.files[range.file_idx]->name(), range.offset);
    }
  }
  return {};
}

// What is to be read: the pieces with parts that are missing, and those that were not hashed.
void Packer::FindRanges() {
  std::vector<bool> is_needed(header_.pieces.size());
  for (size_t i = 0; i < header_.pieces.size(); ++i) {
    is_needed[i] = header_.pieces[i] == io::Digest128{};
  }
  for (const MissingPart& missing : missing_) {
    const FileRange& range = missing.range;
    const uint64_t first = first_piece_[range.file_idx];
    for (uint64_t piece = range.offset / kPieceBytes;
         piece <= (range.offset + range.bytes - 1) / kPieceBytes; ++piece) {
      is_needed[first + piece] = true;
    }
  }
  bytes_total_ = bytes_done_;
  for (uint32_t f = 0; f < header_.sources.size(); ++f) {
    const SourceFile& source = header_.sources[f];
    bool joins = false;
    for (uint64_t piece = 0; piece < source.n_pieces(); ++piece) {
      const bool needed = is_needed[first_piece_[f] + piece];
      if (needed) {
        const uint64_t offset = piece * kPieceBytes;
        const uint64_t bytes = std::min(kPieceBytes, source.bytes - offset);
        if (joins) {
          ranges_.back().bytes += bytes;
        } else {
          ranges_.push_back({io::ReadFileId{f}, offset, bytes});
        }
        outcome_.read_bytes += bytes;
      }
      joins = needed;
    }
  }
  bytes_total_ += outcome_.read_bytes;
}

Result<> Packer::HashPieces(const io::FileStream::Chunk& chunk, io::ResumableFile& file) {
  const SourceFile& source = header_.sources[chunk.file.value];
  piece_digester_.Add(chunk.bytes);
  const uint64_t end = chunk.offset + chunk.bytes.size();
  if (end % kPieceBytes != 0 && end != source.bytes) {
    return {};  // buffers end where pieces do
  }
  const uint64_t piece = first_piece_[chunk.file.value] + (end - 1) / kPieceBytes;
  const io::Digest128 digest = piece_digester_.Sum128();
  piece_digester_.Reset();
  io::Digest128& known = header_.pieces[piece];
  if (known != io::Digest128{} && known != digest) {
    return Fail(ErrorKind::kIo,
                "{} is not what it was when packing began; delete {} and pack again",
                catalogue_.files[chunk.file.value]->path().string(), file.partial_path().string());
  }
  known = digest;
  return WritePieces(file);
}

Result<> Packer::CollectMatrices(const io::FileStream::Chunk& chunk, io::ResumableFile& file) {
  const uint64_t chunk_end = chunk.offset + chunk.bytes.size();
  while (next_missing_ < missing_.size()) {
    const MissingPart& missing = missing_[next_missing_];
    const FileRange& range = missing.range;
    if (range.file_idx != chunk.file.value || range.offset >= chunk_end) {
      break;
    }
    const Part& part = *parts_[missing.part_idx].part;
    if (matrix_done_ == 0) {
      matrix_ = frame_.span().subspan(parts_[missing.part_idx].offset % io::kIoAlignment,
                                      part.covered_bytes);
      interleaver_.emplace(part.shape.dtype, part.shape.k, part.shape.rows, matrix_.data());
    }
    const uint64_t from = range.offset + matrix_done_;
    const uint64_t bytes = std::min(range.bytes - matrix_done_, chunk_end - from);
    std::memcpy(matrix_.data() + matrix_done_, chunk.bytes.data() + (from - chunk.offset), bytes);
    matrix_done_ += bytes;
    interleaver_->Advance(matrix_done_);
    if (matrix_done_ < range.bytes) {
      break;
    }
    if (auto written = WritePart(missing, file); !written) {
      return written;
    }
    ++next_missing_;
    matrix_done_ = 0;
  }
  return {};
}

Result<> Packer::WritePart(const MissingPart& missing, io::ResumableFile& file) {
  const PartPlace& place = parts_[missing.part_idx];
  std::ranges::fill(matrix_.subspan(place.part->bytes), std::byte{0});
  const uint64_t checksum = io::Checksum64(matrix_);
  if (auto written = file.WriteAt(place.offset, matrix_); !written) {
    return written;
  }
  header_.checksums[missing.part_idx] = checksum;
  return file.WriteAt(tables_.checksums + missing.part_idx * sizeof(uint64_t),
                      std::as_bytes(std::span(&checksum, 1)));
}

Result<> Packer::OnChunk(const io::FileStream::Chunk& chunk, io::ResumableFile& file) {
  if (auto hashed = HashPieces(chunk, file); !hashed) {
    return hashed;
  }
  if (auto collected = CollectMatrices(chunk, file); !collected) {
    return collected;
  }
  return OnBytes(chunk.bytes.size());
}

Result<> Packer::ReadModel(io::ResumableFile& file) {
  stream_->Start(ranges_);
  while (true) {
    const auto chunk = stream_->Next();
    if (!chunk) {
      return tl::unexpected<Error>(chunk.error());
    }
    if (!chunk->has_value()) {
      break;
    }
    if (auto done = OnChunk(**chunk, file); !done) {
      return done;
    }
  }
  Invariant(next_missing_ == missing_.size(), "every matrix lies in pieces that were read");
  return {};
}

// The header says that the file is finished only when the disk has all the rest.
Result<> Packer::Finish(io::ResumableFile& file) {
  const auto stamps = Stamps();
  if (!stamps) {
    return tl::unexpected<Error>(stamps.error());
  }
  for (size_t i = 0; i < stamps->size(); ++i) {
    if ((*stamps)[i] != header_.sources[i].stamp) {
      return Fail(ErrorKind::kIo, "{} changed while it was packed; pack it again",
                  catalogue_.files[i]->path().string());
    }
    header_.sources[i].stamp = 0;
  }
  if (auto synced = file.Sync(); !synced) {
    return synced;
  }
  if (auto written = file.WriteAt(0, AsBytes(Encode(header_))); !written) {
    return written;
  }
  return file.Commit();
}

Result<PackOutcome> Packer::Run(const std::filesystem::path& path) {
  auto done = Identify();
  if (done) {
    done = LayOut();
  }
  if (!done) {
    return Forward(done);
  }
  auto stream = io::FileStream::Create(options_.stream);
  if (!stream) {
    return Forward(stream);
  }
  stream_ = *std::move(stream);
  // The model's files come first, so that their numbers are those of the catalogue.
  for (const auto& source : catalogue_.files) {
    if (auto added = stream_->AddFile(source); !added) {
      return Forward(added);
    }
  }
  auto file = io::ResumableFile::Open(path);
  if (!file) {
    return Forward(file);
  }
  done = Begin(*file);
  if (done) {
    done = FindMissing();
  }
  if (done) {
    FindRanges();
    done = ReadModel(*file);
  }
  if (done) {
    done = Finish(*file);
  }
  if (!done) {
    return Forward(done);
  }
  return outcome_;
}

}  // namespace

Result<PackOutcome> Pack(const Catalogue& catalogue, const std::vector<SourceLayer>& layers,
                         const std::filesystem::path& path, const PackOptions& options) {
  return Packer(catalogue, layers, options).Run(path);
}

}  // namespace plimsoll::formats::packed
