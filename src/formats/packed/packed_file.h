// A packed file, opened: every expert of a model as one aligned, checksummed record, in the layout
// that kernels read. It is a side file: all else of the model stays in the files it was packed
// from.
//
//   auto packed = PackedFile::Open(PathBeside(*catalogue.files[0]));
//   packed->MatchesSource(catalogue)            it is of this model; no contents are compared
//   read packed->RecordOffset(layer, expert), packed->layer(layer).record_bytes, into a frame
//   packed->IsSoundPart(layer, expert, part, at)     before the part is used
//
// The parts of a record lie in the order in which they are used, and each has a checksum of its
// own, so each can be verified while the others arrive.
#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"
#include "formats/catalogue.h"
#include "formats/packed/header.h"
#include "formats/packed/layout.h"
#include "io/file.h"

namespace plimsoll::formats::packed {

// Where the packed file of a model lies: beside its first file, under that name and this.
inline constexpr std::string_view kSuffix = ".plimsoll";
[[nodiscard]] std::filesystem::path PathBeside(const std::filesystem::path& first_file);

// True when the file starts with a packed file's magic.
[[nodiscard]] Result<bool> HasMagic(const io::File& file);

// Immutable and thread-safe; after Open nothing is allocated.
class PackedFile {
 public:
  // The file is hostile: whatever it holds, the answer is a packed file all of whose records lie
  // inside it, or a kBadModel that names what is wrong and the byte. kIo when it cannot be read.
  [[nodiscard]] static Result<PackedFile> Open(const std::filesystem::path& path);
  [[nodiscard]] static Result<PackedFile> Open(std::shared_ptr<const io::File> file);

  // Whether it was made from these files: kBadModel says what differs and what to do. Cheap.
  [[nodiscard]] Result<> MatchesSource(const Catalogue& catalogue) const;
  // Whether its records are the experts of such layers: a second line behind MatchesSource.
  [[nodiscard]] Result<> HasLayers(std::span<const LayerShape> layers) const;

  [[nodiscard]] const std::shared_ptr<const io::File>& file() const { return file_; }
  [[nodiscard]] std::span<const Layer> layers() const { return decoded_.layout.layers; }
  [[nodiscard]] const Layer& layer(uint32_t layer) const { return decoded_.layout.layers[layer]; }
  [[nodiscard]] uint64_t header_bytes() const { return decoded_.tables.header_bytes; }
  [[nodiscard]] uint64_t begin() const { return decoded_.layout.begin; }  // of the first record
  [[nodiscard]] uint32_t n_records() const { return decoded_.layout.n_records; }

  [[nodiscard]] uint64_t RecordOffset(uint32_t layer, uint32_t expert) const {
    return this->layer(layer).RecordOffset(expert);
  }
  // XXH3-64 of what the part covers (Part::covered_bytes from Part::offset on).
  [[nodiscard]] uint64_t Checksum(uint32_t layer, uint32_t expert, size_t part) const {
    const uint64_t record = uint64_t{this->layer(layer).first_record} + expert;
    return decoded_.header.checksums[record * kNProjections + part];
  }
  // `at` is where the part was read to.
  [[nodiscard]] bool IsSoundPart(uint32_t layer, uint32_t expert, size_t part,
                                 const std::byte* at) const;
  // Names the file, the layer, the expert and the part; kBadModel.
  [[nodiscard]] Error Damaged(uint32_t layer, uint32_t expert, size_t part) const;

  [[nodiscard]] std::span<const SourceFile> sources() const { return decoded_.header.sources; }
  // The digests of a source file's pieces of kPieceBytes, the last one shorter.
  [[nodiscard]] std::span<const io::Digest128> Pieces(size_t source) const;
  // Of this object's tables.
  [[nodiscard]] uint64_t memory_bytes() const;

 private:
  PackedFile(std::shared_ptr<const io::File> file, DecodedHeader decoded)
      : file_(std::move(file)), decoded_(std::move(decoded)) {}

  std::shared_ptr<const io::File> file_;
  DecodedHeader decoded_;
};

}  // namespace plimsoll::formats::packed
