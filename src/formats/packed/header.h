// The header of a packed file: what it holds, what it was made from, and the checksums of both.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/packed/layout.h"
#include "io/checksum.h"
#include "io/file.h"

namespace plimsoll::formats::packed {

inline constexpr std::string_view kMagic = "PLIMPACK";
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxLayers = 1024;
inline constexpr uint32_t kMaxRecords = 1U << 17U;  // of all layers together
inline constexpr uint32_t kMaxSourceFiles = 1024;
inline constexpr uint32_t kMaxPieces = 1U << 20U;  // of all source files together
// A source's content is identified piece by piece, so that damage has a place and work on it can
// be continued.
inline constexpr uint64_t kPieceBytes = 16 << 20;

// One of the files that a packed file was made from. Its name does not matter.
struct SourceFile {
  uint64_t bytes = 0;
  uint64_t header_bytes = 0;  // before its first tensor's
  io::Digest128 header_digest;
  // While the packed file is being written what stat says of the source, hashed; 0 in a whole one.
  uint64_t stamp = 0;

  [[nodiscard]] uint64_t n_pieces() const {
    return bytes / kPieceBytes + (bytes % kPieceBytes != 0);
  }
};

struct Header {
  bool is_whole = true;  // false: it is being written
  // Of the arrangement of the matrices: LayoutFingerprint() of the program that wrote it.
  uint64_t layout_fingerprint = 0;
  std::vector<SourceFile> sources;
  std::vector<LayerShape> layers;
  std::vector<uint64_t> checksums;    // [record][projection], of what each part covers
  std::vector<io::Digest128> pieces;  // of the sources, one file's behind another's
};

// Where the tables lie, and how long the header is: known before any checksum is.
struct HeaderTables {
  uint64_t checksums = 0;
  uint64_t pieces = 0;
  uint64_t checksum = 0;  // of the header before it
  uint64_t header_bytes = 0;

  [[nodiscard]] uint64_t ChecksumAt(uint32_t record, size_t projection) const {
    return checksums + (uint64_t{record} * kNProjections + projection) * sizeof(uint64_t);
  }
  [[nodiscard]] uint64_t PieceAt(uint64_t piece) const {
    return pieces + piece * sizeof(io::Digest128);
  }
};
// kBadModel when there are more files, pieces, layers or experts than a packed file may have.
[[nodiscard]] Result<HeaderTables> PlaceTables(std::span<const SourceFile> sources,
                                               std::span<const LayerShape> layers);

// The bytes of the header, its checksum behind it. Counts are within the limits and the tables as
// long as sources and layers say.
[[nodiscard]] std::string Encode(const Header& header);

struct DecodedHeader {
  Header header;
  HeaderTables tables;
  FileLayout layout;
};
// kBadModel for everything but the sound header of a finished file that is as long as it says.
// Whether its layout is this program's is left to the caller.
[[nodiscard]] Result<DecodedHeader> Decode(const io::File& file);

// A number that changes when tensor/rows16.h arranges matrices in another way: packed files of
// other programs are then refused instead of misread. It is made of the types that the first
// version had, and of those later ones that `layers` have.
[[nodiscard]] uint64_t LayoutFingerprint(std::span<const LayerShape> layers);

}  // namespace plimsoll::formats::packed
