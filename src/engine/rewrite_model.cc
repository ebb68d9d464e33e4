#include "engine/rewrite_model.h"

#include <algorithm>
#include <system_error>

namespace plimsoll::engine {

namespace fs = std::filesystem;

Result<> CheckOutputIsNoPart(const formats::Catalogue& catalogue, const fs::path& output) {
  std::error_code ignored;
  for (const auto& file : catalogue.files) {
    if (fs::equivalent(file->path(), output, ignored)) {
      return Fail(ErrorKind::kUsage, "{} is the model itself; name another file to write",
                  output.string());
    }
  }
  return {};
}

Result<> CheckRewrite(const formats::Catalogue& catalogue, const fs::path& model,
                      const fs::path& output, bool replaces) {
  if (auto other = CheckOutputIsNoPart(catalogue, output); !other) {
    return other;
  }
  std::error_code ignored;
  if (!replaces && fs::exists(output, ignored)) {
    return Fail(ErrorKind::kUsage, "{} is there already; --force replaces it", output.string());
  }
  // Other programs take a GGUF's queries and keys for permuted where the family's are.
  if (catalogue.metadata.Has("plimsoll.rope.neox")) {
    return Fail(ErrorKind::kUsage,
                "{} keeps queries and keys in an order that a GGUF of this family cannot say; "
                "take a GGUF of the model",
                model.string());
  }
  return {};
}

formats::Metadata MetadataOfWhole(const formats::Catalogue& catalogue) {
  formats::Metadata metadata;
  for (const std::string& key : catalogue.metadata.keys()) {
    if (!key.starts_with("split.")) {
      metadata.Set(key, *catalogue.metadata.Find(key));
    }
  }
  return metadata;
}

Result<> ReadTensor(const formats::Catalogue& catalogue, const formats::TensorEntry& tensor,
                    uint64_t offset, std::span<std::byte> out) {
  for (const formats::FileRange& range : tensor.ranges) {
    if (offset >= range.bytes) {
      offset -= range.bytes;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(range.bytes - offset, out.size());
    if (auto read = catalogue.files[range.file_idx]->ReadAt(range.offset + offset, out.first(n));
        !read) {
      return read;
    }
    out = out.subspan(n);
    offset = 0;
    if (out.empty()) {
      break;
    }
  }
  return {};
}

}  // namespace plimsoll::engine
