#include "formats/packed/source.h"

#include <algorithm>

namespace plimsoll::formats::packed {
namespace {

// No header is longer (GGUF's limit); behind it a hostile file may have any gap.
constexpr uint64_t kMaxHashedBytes = 512 << 20;
constexpr uint64_t kBufferBytes = 1 << 20;

Result<io::Digest128> DigestHeader(const io::File& file, uint64_t bytes) {
  io::Digester digester;
  std::vector<std::byte> buffer(std::min(bytes, kBufferBytes));
  for (uint64_t at = 0; at < bytes;) {
    const auto piece = std::span(buffer).first(std::min<uint64_t>(bytes - at, buffer.size()));
    if (auto read = file.ReadAt(at, piece); !read) {
      return Forward(read);
    }
    digester.Add(piece);
    at += piece.size();
  }
  return digester.Sum128();
}

}  // namespace

Result<std::vector<SourceFile>> IdentifySources(const Catalogue& catalogue) {
  std::vector<SourceFile> sources;
  for (const auto& file : catalogue.files) {
    sources.push_back({.bytes = file->size(), .header_bytes = file->size()});
  }
  for (const TensorEntry& tensor : catalogue.tensors()) {
    for (const FileRange& range : tensor.ranges) {
      uint64_t& header_bytes = sources[range.file_idx].header_bytes;
      header_bytes = std::min(header_bytes, range.offset);
    }
  }
  for (size_t i = 0; i < sources.size(); ++i) {
    auto digest =
        DigestHeader(*catalogue.files[i], std::min(sources[i].header_bytes, kMaxHashedBytes));
    if (!digest) {
      return Forward(digest);
    }
    sources[i].header_digest = *digest;
  }
  return sources;
}

Result<> CompareSources(std::span<const SourceFile> packed, std::span<const SourceFile> model,
                        const Catalogue& catalogue) {
  if (packed.size() != model.size()) {
    return Fail(ErrorKind::kBadModel, "it was packed from {} files, and the model has {}",
                packed.size(), model.size());
  }
  for (size_t i = 0; i < model.size(); ++i) {
    const std::string& name = catalogue.files[i]->name();
    if (packed[i].bytes != model[i].bytes) {
      return Fail(ErrorKind::kBadModel, "it was packed from a file of {} bytes, and {} has {}",
                  packed[i].bytes, name, model[i].bytes);
    }
    if (packed[i].header_bytes != model[i].header_bytes ||
        packed[i].header_digest != model[i].header_digest) {
      return Fail(ErrorKind::kBadModel,
                  "it was packed from another file: the metadata or the tensor table of {} differs",
                  name);
    }
  }
  return {};
}

}  // namespace plimsoll::formats::packed
