#include "formats/catalogue.h"

#include <algorithm>
#include <utility>

namespace plimsoll::formats {

bool Catalogue::Add(TensorEntry entry) {
  const auto [it, is_new] = by_name_.try_emplace(entry.name, tensors_.size());
  if (is_new) {
    tensors_.push_back(std::move(entry));
  }
  return is_new;
}

const TensorEntry* Catalogue::Find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

uint64_t Catalogue::TotalBytes() const {
  uint64_t total = 0;
  for (const TensorEntry& tensor : tensors_) {
    total += tensor.bytes;  // a small multiple of the files' sizes at most
  }
  return total;
}

Result<> Catalogue::Read(const TensorEntry& tensor, uint64_t offset,
                         std::span<std::byte> out) const {
  if (tensor.conversion != nullptr) {
    return tensor.conversion->Read(*this, offset, out);
  }
  for (const FileRange& range : tensor.ranges) {
    if (out.empty()) {
      break;
    }
    if (offset >= range.bytes) {
      offset -= range.bytes;
      continue;
    }
    const uint64_t n = std::min<uint64_t>(range.bytes - offset, out.size());
    if (auto read = files[range.file_idx]->ReadAt(range.offset + offset, out.first(n)); !read) {
      return read;
    }
    out = out.subspan(n);
    offset = 0;
  }
  return {};
}

void Catalogue::WillNeed(const TensorEntry& tensor, uint64_t offset, uint64_t bytes) const {
  for (const FileRange& range : tensor.ranges) {
    if (offset < range.bytes) {
      const uint64_t n = std::min(range.bytes - offset, bytes);
      files[range.file_idx]->WillNeed(range.offset + offset, n);
      bytes -= n;
      offset = 0;
    } else {
      offset -= range.bytes;
    }
  }
}

}  // namespace plimsoll::formats
