// The values that a chat template sees: JSON and what templates make of it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace plimsoll::text::jinja {

class Value;
class Dict;
struct StringNode;
struct ListNode;
struct Namespace;  // what namespace() makes; the only value that changes
class Callable;    // macros, methods and global functions

using Member = std::pair<std::string, Value>;

enum class Kind {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kDouble,
  kString,
  kList,
  kDict,
  kNamespace,
  kCallable,
};

// Cheap to copy (big parts are shared) and immutable, so one context may serve several threads.
// Strings are UTF-8.
//
//   Value context = Value::Object({
//       {"messages", Value::List({Value::Object({{"role", "user"}, {"content", text}})})},
//       {"add_generation_prompt", true},
//   });
class Value {
 public:
  Value() = default;  // undefined
  Value(std::nullptr_t) : data_(nullptr) {}
  Value(std::same_as<bool> auto value) : data_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Value(T value) : data_(Widen(value)) {}
  Value(double value) : data_(value) {}
  Value(std::string text);
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}

  [[nodiscard]] static Value List(std::vector<Value> items);
  // In the order given; of equal keys the last value counts, at the place of the first.
  [[nodiscard]] static Value Object(std::vector<Member> members);

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is(Kind kind_wanted) const { return kind() == kind_wanted; }
  [[nodiscard]] bool is_number() const { return is(Kind::kInt) || is(Kind::kDouble); }

  // Each needs the kind that it names.
  [[nodiscard]] bool boolean() const { return std::get<bool>(data_); }
  [[nodiscard]] const std::string& string() const;
  [[nodiscard]] const std::vector<Value>& list() const;
  [[nodiscard]] const Dict& dict() const { return *std::get<DictPtr>(data_); }
  // Of a kInt or kDouble.
  [[nodiscard]] double number() const;
  // Of a kInt: none when it stands beyond the 64 bits, or is what an integer operation without an
  // integer result gave (a division by zero).
  [[nodiscard]] const int64_t* exact_integer() const { return std::get_if<int64_t>(&data_); }

  // The member of a dict; undefined when this is no dict or has no such key.
  [[nodiscard]] Value Get(std::string_view key) const;

  // For the interpreter.
  struct WideInteger {
    double value = 0;
  };
  using StringPtr = std::shared_ptr<const StringNode>;
  using ListPtr = std::shared_ptr<const ListNode>;
  using DictPtr = std::shared_ptr<const Dict>;
  using NamespacePtr = std::shared_ptr<Namespace>;
  using CallablePtr = std::shared_ptr<const Callable>;
  Value(WideInteger value) : data_(value) {}
  Value(StringPtr node) : data_(std::move(node)) {}
  Value(ListPtr node) : data_(std::move(node)) {}
  Value(DictPtr node) : data_(std::move(node)) {}
  Value(NamespacePtr node) : data_(std::move(node)) {}
  Value(CallablePtr node) : data_(std::move(node)) {}
  [[nodiscard]] bool is_tuple() const;
  [[nodiscard]] Namespace& ns() const { return *std::get<NamespacePtr>(data_); }
  [[nodiscard]] const CallablePtr& callable() const { return std::get<CallablePtr>(data_); }
  // Levels of containers in this value: 0 for a scalar.
  [[nodiscard]] uint32_t depth() const;
  // Of a shared part (string, list, dict, ...), else null: equal for two names of one object.
  [[nodiscard]] const void* identity() const;

 private:
  using Data = std::variant<std::monostate, std::nullptr_t, bool, int64_t, WideInteger, double,
                            StringPtr, ListPtr, DictPtr, NamespacePtr, CallablePtr>;

  template <std::integral T>
  static Data Widen(T value) {
    if constexpr (std::unsigned_integral<T> && sizeof(T) == sizeof(uint64_t)) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return WideInteger{static_cast<double>(value)};
      }
    }
    return static_cast<int64_t>(value);
  }

  Data data_;
};

// Counts the bytes that values made during one rendering hold at the moment.
struct MemoryMeter {
  uint64_t live_bytes = 0;
};

class MemoryCharge {
 public:
  MemoryCharge() = default;
  MemoryCharge(MemoryMeter* meter, uint64_t bytes) : meter_(meter), bytes_(bytes) {
    if (meter_ != nullptr) meter_->live_bytes += bytes_;
  }
  MemoryCharge(const MemoryCharge&) = delete;
  MemoryCharge& operator=(const MemoryCharge&) = delete;
  ~MemoryCharge() {
    if (meter_ != nullptr) meter_->live_bytes -= bytes_;
  }

 private:
  MemoryMeter* meter_ = nullptr;
  uint64_t bytes_ = 0;
};

struct StringNode {
  explicit StringNode(std::string text_in, MemoryMeter* meter = nullptr)
      : text(std::move(text_in)), charge(meter, text.size() + sizeof(StringNode)) {}
  std::string text;
  MemoryCharge charge;
};

struct ListNode {
  explicit ListNode(std::vector<Value> items_in, bool tuple_in = false,
                    MemoryMeter* meter = nullptr);
  std::vector<Value> items;
  bool tuple = false;
  uint32_t depth = 1;
  MemoryCharge charge;
};

// String keys in insertion order.
class Dict {
 public:
  explicit Dict(std::vector<Member> members, MemoryMeter* meter = nullptr);

  [[nodiscard]] const std::vector<Member>& members() const { return members_; }
  [[nodiscard]] size_t size() const { return members_.size(); }
  // Null when there is none.
  [[nodiscard]] const Value* Find(std::string_view key) const;
  [[nodiscard]] uint32_t depth() const { return depth_; }

 private:
  std::vector<Member> members_;
  std::vector<uint32_t> by_key_;  // of big dicts: member indices ordered by key
  uint32_t depth_ = 1;
  MemoryCharge charge_;
};

// The value of a JSON text: key order and the difference of 1 and 1.0 are kept, of equal keys the
// last value counts. kFailed when it is no JSON, or nested deeper than 256.
[[nodiscard]] Result<Value> ParseJson(std::string_view json);

}  // namespace plimsoll::text::jinja
