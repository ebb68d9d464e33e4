#include "text/unicode.h"

#include <algorithm>
#include <map>
#include <string>

#include <unicode/uchar.h>

namespace plimsoll::text {
namespace {

UBool FillRange(const void* context, UChar32 start, UChar32 limit, UCharCategory category) {
  auto& categories = *static_cast<std::string*>(const_cast<void*>(context));
  std::fill(categories.begin() + start, categories.begin() + limit, static_cast<char>(category));
  return 1;
}

}  // namespace

CategoryTable::CategoryTable() {
  std::string all(0x110000, '\0');
  u_enumCharTypes(FillRange, &all);
  for (const uint32_t c : {0x09u, 0x0Au, 0x0Bu, 0x0Cu, 0x0Du, 0x85u}) {
    all[c] = static_cast<char>(Category::kControlSpace);
  }
  std::map<std::string, uint16_t> known;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    std::string block = all.substr(i << 8, 256);
    const auto [it, added] =
        known.try_emplace(std::move(block), static_cast<uint16_t>(known.size()));
    if (added) {
      cells_.insert(cells_.end(), it->first.begin(), it->first.end());
    }
    blocks_[i] = it->second;
  }
  cells_.shrink_to_fit();
}

const CategoryTable& CategoryTable::Get() {
  static const CategoryTable kTable;
  return kTable;
}

}  // namespace plimsoll::text
