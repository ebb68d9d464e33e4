// General categories of characters, as pre-tokenizer patterns ask for them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace plimsoll::text {

// ICU's numbers of the general categories, and one of our own: the control characters that are
// White_Space (U+0009 to U+000D and U+0085), so that a category alone decides every class below.
enum class Category : uint8_t {
  kUnassigned = 0,
  kLu = 1,
  kLl = 2,
  kLt = 3,
  kLm = 4,
  kLo = 5,
  kMn = 6,
  kMe = 7,
  kMc = 8,
  kNd = 9,
  kNl = 10,
  kNo = 11,
  kZs = 12,
  kZl = 13,
  kZp = 14,
  kCc = 15,
  kCf = 16,
  kCo = 17,
  kCs = 18,
  kPd = 19,
  kPs = 20,
  kPe = 21,
  kPc = 22,
  kPo = 23,
  kSm = 24,
  kSc = 25,
  kSk = 26,
  kSo = 27,
  kPi = 28,
  kPf = 29,
  kControlSpace = 30,
};

// A set of categories, one bit each.
using CategorySet = uint32_t;

template <class... Categories>
[[nodiscard]] constexpr CategorySet SetOf(Categories... categories) {
  return ((CategorySet{1} << static_cast<uint8_t>(categories)) | ...);
}

inline constexpr CategorySet kLetters =
    SetOf(Category::kLu, Category::kLl, Category::kLt, Category::kLm, Category::kLo);
inline constexpr CategorySet kMarks = SetOf(Category::kMn, Category::kMe, Category::kMc);
inline constexpr CategorySet kNumbers = SetOf(Category::kNd, Category::kNl, Category::kNo);
inline constexpr CategorySet kPunctuation =
    SetOf(Category::kPd, Category::kPs, Category::kPe, Category::kPc, Category::kPo, Category::kPi,
          Category::kPf);
inline constexpr CategorySet kSymbols =
    SetOf(Category::kSm, Category::kSc, Category::kSk, Category::kSo);
// Exactly the characters with the property White_Space.
inline constexpr CategorySet kSpaces =
    SetOf(Category::kZs, Category::kZl, Category::kZp, Category::kControlSpace);

[[nodiscard]] constexpr bool Contains(CategorySet set, Category category) {
  return (set >> static_cast<uint8_t>(category) & 1) != 0;
}

// The category of every code point, in two levels: equal blocks of 256 are stored once (some 40 KiB
// together). Immutable and thread-safe.
class CategoryTable {
 public:
  // Filled from ICU on first use, in about a millisecond.
  [[nodiscard]] static const CategoryTable& Get();

  // `code_point` must be at most U+10FFFF.
  [[nodiscard]] Category Of(uint32_t code_point) const {
    return static_cast<Category>(
        cells_[size_t{blocks_[code_point >> 8]} << 8 | (code_point & 0xFF)]);
  }

 private:
  CategoryTable();

  std::array<uint16_t, 0x1100> blocks_{};
  std::vector<uint8_t> cells_;
};

}  // namespace plimsoll::text
