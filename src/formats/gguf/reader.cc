#include "formats/gguf/reader.h"

#include <array>
#include <utility>

#include "formats/escape.h"
#include "formats/gguf/cursor.h"
#include "formats/gguf/joined_experts.h"
#include "formats/gguf/limits.h"
#include "formats/gguf/metadata_reader.h"
#include "formats/gguf/split.h"
#include "formats/gguf/tensor_table.h"

namespace plimsoll::formats::gguf {
namespace {

// The least that a key with its value, and a tensor's declaration, take in the file: a file that
// claims more of them than it has bytes for is refused before anything is read or reserved.
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr uint64_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

struct Part {
  Metadata metadata;
  std::vector<TensorEntry> tensors;
};

Result<> CheckMagic(Cursor& cursor) {
  cursor.SetField("magic");
  auto magic = cursor.Read<std::array<char, 4>>();
  if (!magic) {
    return Forward(magic);
  }
  const std::string_view text(magic->data(), magic->size());
  if (text != kMagic) {
    return cursor.Bad(0, "the file starts with \"{}\" instead of \"{}\": it is no GGUF file",
                      Escape(text), kMagic);
  }
  return {};
}

Result<> CheckVersion(Cursor& cursor) {
  cursor.SetField("version");
  const uint64_t at = cursor.offset();
  auto version = cursor.Read<uint32_t>();
  if (!version) {
    return Forward(version);
  }
  if (*version >= kOldestVersion && *version <= kNewestVersion) {
    return {};
  }
  if ((*version & 0xFFFF) == 0 && *version != 0) {
    return cursor.Bad(at,
                      "the file is big-endian, which is not supported; convert it for "
                      "little-endian machines");
  }
  return cursor.Bad(at, "GGUF version {} is not supported; supported are {} and {}", *version,
                    kOldestVersion, kNewestVersion);
}

Result<uint64_t> ReadCount(Cursor& cursor, std::string_view field, uint64_t max,
                           uint64_t min_bytes_each) {
  cursor.SetField(std::string(field));
  const uint64_t at = cursor.offset();
  auto count = cursor.Read<uint64_t>();
  if (!count) {
    return count;
  }
  if (*count > max) {
    return cursor.Bad(at, "{} are more than the {} that are allowed", *count, max);
  }
  if (*count * min_bytes_each > cursor.remaining()) {
    return cursor.Bad(at, "{} do not fit into the {} bytes that are left of the file", *count,
                      cursor.remaining());
  }
  return count;
}

Result<Part> ReadPart(const io::File& file, uint32_t file_idx) {
  Cursor cursor(file, kMaxHeaderBytes);
  auto checked = CheckMagic(cursor).and_then([&] { return CheckVersion(cursor); });
  if (!checked) {
    return Forward(checked);
  }
  auto n_tensors = ReadCount(cursor, "tensor count", kMaxTensors, kMinTensorBytes);
  if (!n_tensors) {
    return Forward(n_tensors);
  }
  auto n_keys = ReadCount(cursor, "key count", kMaxKeys, kMinKeyBytes);
  if (!n_keys) {
    return Forward(n_keys);
  }
  auto metadata = ReadMetadata(cursor, *n_keys);
  if (!metadata) {
    return Forward(metadata);
  }
  auto tensors = ReadTensorTable(cursor, *n_tensors, Alignment(*metadata), file.size(), file_idx);
  if (!tensors) {
    return Forward(tensors);
  }
  return Part{*std::move(metadata), *std::move(tensors)};
}

// What later parts are compared by; the rest of their metadata is let go.
Metadata KeepSplitKeys(const Metadata& metadata) {
  Metadata kept;
  for (const std::string_view key :
       {kKeyArchitecture, kKeyName, kKeySplitNo, kKeySplitCount, kKeySplitTensors}) {
    if (const Value* value = metadata.Find(key)) {
      kept.Set(std::string(key), *value);
    }
  }
  return kept;
}

Result<std::vector<Part>> ReadParts(const std::vector<std::shared_ptr<const io::File>>& files) {
  std::vector<Part> parts;
  uint64_t n_tensors = 0;
  for (uint32_t i = 0; i < files.size(); ++i) {
    auto part = ReadPart(*files[i], i);
    if (!part) {
      return Forward(part);
    }
    n_tensors += part->tensors.size();
    if (n_tensors > kMaxTensors) {
      return Fail(ErrorKind::kBadModel,
                  "{}: with this part the model has {} tensors; allowed are {}", files[i]->name(),
                  n_tensors, kMaxTensors);
    }
    if (i > 0) {
      part->metadata = KeepSplitKeys(part->metadata);
    }
    parts.push_back(*std::move(part));
  }
  return parts;
}

Result<> CheckParts(const std::vector<Part>& parts,
                    const std::vector<std::shared_ptr<const io::File>>& files) {
  std::vector<PartHeader> headers;
  uint64_t n_tensors = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    headers.push_back({files[i]->name(), &parts[i].metadata});
    n_tensors += parts[i].tensors.size();
  }
  return CheckSplit(headers, n_tensors);
}

Result<> AddTensor(TensorEntry tensor, const std::vector<std::shared_ptr<const io::File>>& files,
                   Catalogue& catalogue) {
  for (TensorEntry& entry : SplitJoinedExperts(std::move(tensor))) {
    const std::string name = Escape(entry.name);
    const FileRange range = entry.ranges.front();
    if (!catalogue.Add(std::move(entry))) {
      return Fail(ErrorKind::kBadModel,
                  "{}: tensor '{}' (data at byte {}) is in an earlier part too; parts of "
                  "different models may be mixed",
                  files[range.file_idx]->name(), name, range.offset);
    }
  }
  return {};
}

}  // namespace

Result<bool> HasMagic(const io::File& file) {
  std::array<char, 4> magic = {};
  if (file.size() < magic.size()) {
    return false;
  }
  auto read = file.ReadAt(0, std::as_writable_bytes(std::span(magic)));
  if (!read) {
    return Forward(read);
  }
  return std::string_view(magic.data(), magic.size()) == kMagic;
}

Result<Catalogue> Read(std::vector<std::shared_ptr<const io::File>> files) {
  auto parts = ReadParts(files);
  if (!parts) {
    return Forward(parts);
  }
  auto checked = CheckParts(*parts, files);
  if (!checked) {
    return Forward(checked);
  }
  Catalogue catalogue;
  for (Part& part : *parts) {
    for (TensorEntry& tensor : part.tensors) {
      if (auto added = AddTensor(std::move(tensor), files, catalogue); !added) {
        return Forward(added);
      }
    }
  }
  catalogue.metadata = std::move(parts->front().metadata);
  catalogue.files = std::move(files);
  return catalogue;
}

Result<Catalogue> Read(std::shared_ptr<const io::File> file) {
  return Read(std::vector{std::move(file)});
}

Result<Catalogue> Open(const std::filesystem::path& path) {
  auto paths = SplitPaths(path);
  if (!paths) {
    return Forward(paths);
  }
  std::vector<std::shared_ptr<const io::File>> files;
  for (const std::filesystem::path& part : *paths) {
    auto file = io::File::Open(part);
    if (!file) {
      return Forward(file);
    }
    files.push_back(*std::move(file));
  }
  return Read(std::move(files));
}

}  // namespace plimsoll::formats::gguf
