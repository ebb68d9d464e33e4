#include "formats/packed/packed_file.h"

#include <algorithm>

#include "formats/packed/source.h"

namespace plimsoll::formats::packed {

std::filesystem::path PathBeside(const std::filesystem::path& first_file) {
  std::filesystem::path path = first_file;
  path += kSuffix;
  return path;
}

Result<bool> HasMagic(const io::File& file) {
  std::array<char, kMagic.size()> start;
  if (file.size() < start.size()) {
    return false;
  }
  if (auto read = file.ReadAt(0, std::as_writable_bytes(std::span(start))); !read) {
    return Forward(read);
  }
  return std::ranges::equal(start, kMagic);
}

Result<PackedFile> PackedFile::Open(const std::filesystem::path& path) {
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  return Open(*std::move(file));
}

Result<PackedFile> PackedFile::Open(std::shared_ptr<const io::File> file) {
  auto decoded = Decode(*file);
  if (!decoded) {
    return Forward(decoded);
  }
  if (decoded->header.layout_fingerprint != LayoutFingerprint(decoded->header.layers)) {
    return Fail(ErrorKind::kBadModel,
                "{}: another version of Plimsoll packed it, which arranged matrices in another "
                "way; delete it and pack the model again",
                file->name());
  }
  return PackedFile(std::move(file), *std::move(decoded));
}

Result<> PackedFile::MatchesSource(const Catalogue& catalogue) const {
  const auto model = IdentifySources(catalogue);
  if (!model) {
    return tl::unexpected<Error>(model.error());
  }
  if (const auto same = CompareSources(sources(), *model, catalogue); !same) {
    return Fail(ErrorKind::kBadModel,
                "{} does not belong to this model: {}.\nPack the model again: plimsoll pack {}",
                file_->name(), same.error().message, catalogue.files.front()->path().string());
  }
  return {};
}

Result<> PackedFile::HasLayers(std::span<const LayerShape> shapes) const {
  const auto& packed = decoded_.header.layers;
  if (packed.size() != shapes.size()) {
    return Fail(ErrorKind::kBadModel, "{} has the experts of {} layers, and the model has {}",
                file_->name(), packed.size(), shapes.size());
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (packed[i] != shapes[i]) {
      return Fail(ErrorKind::kBadModel,
                  "{}: layer {}: the number, the types or the shapes of its experts are not the "
                  "model's",
                  file_->name(), i);
    }
  }
  return {};
}

bool PackedFile::IsSoundPart(uint32_t layer, uint32_t expert, size_t part,
                             const std::byte* at) const {
  return io::Checksum64({at, this->layer(layer).parts[part].covered_bytes}) ==
         Checksum(layer, expert, part);
}

Error PackedFile::Damaged(uint32_t layer, uint32_t expert, size_t part) const {
  const Layer& place = this->layer(layer);
  return {
      ErrorKind::kBadModel,
      fmt::format("{}: layer {}, expert {}: the {} matrix is damaged: its checksum differs (at "
                  "byte {}).\nplimsoll verify {} looks at all of them; delete the file and pack "
                  "the model again",
                  file_->name(), layer, expert, ProjectionName(part),
                  place.RecordOffset(expert) + place.parts[part].offset, file_->path().string())};
}

std::span<const io::Digest128> PackedFile::Pieces(size_t source) const {
  uint64_t first = 0;
  for (size_t i = 0; i < source; ++i) {
    first += sources()[i].n_pieces();
  }
  return std::span(decoded_.header.pieces).subspan(first, sources()[source].n_pieces());
}

uint64_t PackedFile::memory_bytes() const {
  const Header& header = decoded_.header;
  return header.checksums.size() * sizeof(uint64_t) + header.pieces.size() * sizeof(io::Digest128) +
         header.sources.size() * sizeof(SourceFile) + header.layers.size() * sizeof(LayerShape) +
         decoded_.layout.layers.size() * sizeof(Layer);
}

}  // namespace plimsoll::formats::packed
