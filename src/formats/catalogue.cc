#include "formats/catalogue.h"

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
    total += tensor.bytes;  // ranges do not overlap, so this cannot exceed the files' sizes
  }
  return total;
}

}  // namespace plimsoll::formats
