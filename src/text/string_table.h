// Strings by number and numbers by string, in three flat arrays.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::text {

// Strings one behind the other in one buffer. Together they must stay below 4 GiB.
class StringPool {
 public:
  void Reserve(size_t strings, size_t bytes) {
    ends_.reserve(strings);
    bytes_.reserve(bytes);
  }

  uint32_t Add(std::string_view text) {
    bytes_.append(text);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
    return static_cast<uint32_t>(ends_.size() - 1);
  }

  [[nodiscard]] std::string_view operator[](size_t i) const {
    const uint32_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

  [[nodiscard]] size_t size() const { return ends_.size(); }
  [[nodiscard]] uint64_t Bytes() const {
    return bytes_.capacity() + ends_.capacity() * sizeof(uint32_t);
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

// Finds the number of a string in a container of strings that it does not own: `strings[id]` must
// give the same string at every call.
class StringIndex {
 public:
  explicit StringIndex(size_t expected = 0) { Rehash(expected); }

  // Keeps the number it has when an equal string is in already.
  template <class Strings>
  void Insert(const Strings& strings, uint32_t id) {
    if ((size_ + 1) * 3 > slots_.size() * 2) {
      const std::vector<uint32_t> old = std::move(slots_);
      Rehash(2 * size_ + 2);
      for (const uint32_t other : old) {
        if (other != kEmpty) {
          slots_[SlotOf(strings, strings[other])] = other;
        }
      }
    }
    uint32_t& slot = slots_[SlotOf(strings, strings[id])];
    if (slot == kEmpty) {
      slot = id;
      ++size_;
    }
  }

  template <class Strings>
  [[nodiscard]] std::optional<uint32_t> Find(const Strings& strings, std::string_view text) const {
    const uint32_t id = slots_[SlotOf(strings, text)];
    return id == kEmpty ? std::nullopt : std::optional(id);
  }

  [[nodiscard]] uint64_t Bytes() const { return slots_.capacity() * sizeof(uint32_t); }

 private:
  static constexpr uint32_t kEmpty = 0xFFFFFFFF;

  void Rehash(size_t expected) { slots_.assign(std::bit_ceil(expected * 3 / 2 + 2), kEmpty); }

  // The slot that holds `text`, or the empty one where it belongs.
  template <class Strings>
  [[nodiscard]] size_t SlotOf(const Strings& strings, std::string_view text) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = std::hash<std::string_view>{}(text)&mask;
    while (slots_[slot] != kEmpty && std::string_view(strings[slots_[slot]]) != text) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  std::vector<uint32_t> slots_;
  size_t size_ = 0;
};

}  // namespace plimsoll::text
