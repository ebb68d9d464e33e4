#include "formats/gguf/metadata_reader.h"

#include <bit>
#include <type_traits>
#include <utility>

#include <simdjson.h>

#include "base/invariant.h"
#include "formats/escape.h"
#include "formats/gguf/limits.h"

namespace plimsoll::formats::gguf {
namespace {

constexpr uint32_t kValueTypes = 13;

// The least a value of the type takes in the file.
uint64_t BytesInFile(ValueType type) {
  switch (type) {
    case ValueType::kU8:
    case ValueType::kI8:
    case ValueType::kBool:
      return 1;
    case ValueType::kU16:
    case ValueType::kI16:
      return 2;
    case ValueType::kU32:
    case ValueType::kI32:
    case ValueType::kF32:
      return 4;
    case ValueType::kU64:
    case ValueType::kI64:
    case ValueType::kF64:
    case ValueType::kString:
      return 8;
    case ValueType::kArray:
      return 12;
  }
  return 1;
}

uint64_t BytesInMemory(ValueType type) {
  return type == ValueType::kString ? sizeof(std::string) : sizeof(int64_t);
}

// Calls `use` with a value of the C++ type that a numeric value type has in the file.
template <class Use>
auto WithNumber(ValueType type, Use&& use) {
  switch (type) {
    case ValueType::kU8:
      return use(uint8_t{});
    case ValueType::kI8:
      return use(int8_t{});
    case ValueType::kU16:
      return use(uint16_t{});
    case ValueType::kI16:
      return use(int16_t{});
    case ValueType::kU32:
      return use(uint32_t{});
    case ValueType::kI32:
      return use(int32_t{});
    case ValueType::kU64:
      return use(uint64_t{});
    case ValueType::kI64:
      return use(int64_t{});
    case ValueType::kF32:
      return use(float{});
    case ValueType::kF64:
      return use(double{});
    case ValueType::kBool:
    case ValueType::kString:
    case ValueType::kArray:
      break;
  }
  Invariant(false, "only numbers are read as numbers");
  return use(uint8_t{});
}

// The type that Value and Array hold a number in.
template <class T>
using Held = std::conditional_t<std::is_floating_point_v<T>, double,
                                std::conditional_t<std::is_same_v<T, uint64_t>, uint64_t, int64_t>>;

class MetadataReader {
 public:
  explicit MetadataReader(Cursor& cursor) : cursor_(cursor) {}

  Result<Metadata> Read(uint64_t n_keys) {
    Metadata metadata;
    for (uint64_t i = 0; i < n_keys; ++i) {
      auto added = ReadPair(i, metadata);
      if (!added) {
        return Forward(added);
      }
    }
    return metadata;
  }

 private:
  Result<> ReadPair(uint64_t index, Metadata& metadata) {
    cursor_.SetField(fmt::format("key number {}", index));
    const uint64_t at = cursor_.offset();
    auto key = cursor_.ReadString(kMaxKeyBytes);
    if (!key) {
      return Forward(key);
    }
    if (key->empty()) {
      return cursor_.Bad(at, "the key is empty");
    }
    if (!simdjson::validate_utf8(*key)) {
      return cursor_.Bad(at, "the key \"{}\" is not UTF-8", Escape(*key));
    }
    cursor_.SetField(fmt::format("key '{}'", Escape(*key)));
    if (metadata.Has(*key)) {
      return cursor_.Bad(at, "the key is there twice");
    }
    // Our own readers of folders name the tokenizer's files so; a file of unknown origin must not
    // have us open what it likes.
    if (key->starts_with("plimsoll.tokenizer_")) {
      return cursor_.Bad(at, "a GGUF file may not name other files");
    }
    auto charged = Charge(at, sizeof(Value) + 2 * key->size());
    if (!charged) {
      return charged;
    }
    const uint64_t value_at = cursor_.offset();
    auto value = ReadValue();
    if (!value) {
      return Forward(value);
    }
    if (*key == kKeyAlignment) {
      auto checked = CheckAlignment(value_at, *value);
      if (!checked) {
        return checked;
      }
    }
    metadata.Set(*std::move(key), *std::move(value));
    return {};
  }

  // Memory is bounded as a whole: values can take eight times the bytes they have in the file.
  Result<> Charge(uint64_t at, uint64_t bytes) {
    memory_ += bytes;
    if (memory_ > kMaxMemory) {
      return cursor_.Bad(at, "the metadata would take more than {} of memory",
                         FormatBytes(kMaxMemory));
    }
    return {};
  }

  Result<> CheckAlignment(uint64_t at, const Value& value) {
    const auto* alignment = std::get_if<int64_t>(&value.value);
    if (value.type != ValueType::kU32 || alignment == nullptr) {
      return cursor_.Bad(at, "the alignment is of type {}; expected U32",
                         ValueTypeName(value.type));
    }
    const auto bytes = static_cast<uint64_t>(*alignment);
    if (!std::has_single_bit(bytes) || bytes < kMinAlignment || bytes > kMaxAlignment) {
      return cursor_.Bad(at, "the alignment is {}; expected a power of two from {} to {}", bytes,
                         kMinAlignment, kMaxAlignment);
    }
    return {};
  }

  Result<ValueType> ReadType() {
    const uint64_t at = cursor_.offset();
    auto number = cursor_.Read<uint32_t>();
    if (!number) {
      return Forward(number);
    }
    if (*number >= kValueTypes) {
      return cursor_.Bad(at, "the value type {} does not exist; types are 0 to {}", *number,
                         kValueTypes - 1);
    }
    return static_cast<ValueType>(*number);
  }

  Result<Value> ReadValue() {
    auto type = ReadType();
    if (!type) {
      return Forward(type);
    }
    switch (*type) {
      case ValueType::kBool:
        return ReadBool();
      case ValueType::kString:
        return ReadText();
      case ValueType::kArray:
        return ReadArray();
      default:
        return WithNumber(*type, [&](auto number) { return ReadNumber(*type, number); });
    }
  }

  template <class T>
  Result<Value> ReadNumber(ValueType type, T /*as*/) {
    auto number = cursor_.Read<T>();
    if (!number) {
      return Forward(number);
    }
    return Value{type, static_cast<Held<T>>(*number)};
  }

  Result<Value> ReadBool() {
    const uint64_t at = cursor_.offset();
    auto byte = cursor_.Read<uint8_t>();
    if (!byte) {
      return Forward(byte);
    }
    if (*byte > 1) {
      return cursor_.Bad(at, "a bool is 0 or 1, this one is {}", *byte);
    }
    return Value{ValueType::kBool, *byte == 1};
  }

  Result<std::string> ReadChargedString() {
    const uint64_t at = cursor_.offset();
    auto text = cursor_.ReadString(kMaxStringBytes);
    if (!text) {
      return text;
    }
    auto charged = Charge(at, text->size());
    if (!charged) {
      return Forward(charged);
    }
    return text;
  }

  Result<Value> ReadText() {
    auto text = ReadChargedString();
    if (!text) {
      return Forward(text);
    }
    return Value{ValueType::kString, *std::move(text)};
  }

  Result<Value> ReadArray() {
    const uint64_t at = cursor_.offset();
    auto type = ReadType();
    if (!type) {
      return Forward(type);
    }
    if (*type == ValueType::kArray) {
      return cursor_.Bad(at, "an array of arrays is not supported");
    }
    auto n = ReadArrayLength(*type);
    if (!n) {
      return Forward(n);
    }
    Array array;
    array.element_type = *type;
    auto read = ReadElements(*type, *n, array);
    if (!read) {
      return Forward(read);
    }
    return Value{ValueType::kArray, std::move(array)};
  }

  // A length that the rest of the file can hold and that is paid for.
  Result<uint64_t> ReadArrayLength(ValueType type) {
    const uint64_t at = cursor_.offset();
    auto n = cursor_.Read<uint64_t>();
    if (!n) {
      return n;
    }
    if (*n > kMaxArrayElements) {
      return cursor_.Bad(at, "an array of {} elements is longer than the {} that are allowed", *n,
                         kMaxArrayElements);
    }
    if (*n * BytesInFile(type) > cursor_.remaining()) {
      return cursor_.Bad(at, "an array of {} {} does not fit into the {} bytes that are left", *n,
                         ValueTypeName(type), cursor_.remaining());
    }
    auto charged = Charge(at, *n * BytesInMemory(type));
    if (!charged) {
      return Forward(charged);
    }
    return n;
  }

  Result<> ReadElements(ValueType type, uint64_t n, Array& array) {
    switch (type) {
      case ValueType::kBool:
        return ReadBools(n, array);
      case ValueType::kString:
        return ReadStrings(n, array);
      default:
        return WithNumber(type, [&](auto number) { return ReadNumbers(n, array, number); });
    }
  }

  template <class T>
  Result<> ReadNumbers(uint64_t n, Array& array, T /*as*/) {
    std::vector<Held<T>> numbers;
    numbers.reserve(n);
    auto read = cursor_.ReadNumbers<T>(n, numbers);
    array.values = std::move(numbers);
    return read;
  }

  Result<> ReadBools(uint64_t n, Array& array) {
    std::vector<bool> bools;
    bools.reserve(n);
    for (uint64_t i = 0; i < n; ++i) {
      auto value = ReadBool();
      if (!value) {
        return Forward(value);
      }
      bools.push_back(std::get<bool>(value->value));
    }
    array.values = std::move(bools);
    return {};
  }

  Result<> ReadStrings(uint64_t n, Array& array) {
    std::vector<std::string> strings;
    strings.reserve(n);
    for (uint64_t i = 0; i < n; ++i) {
      auto text = ReadChargedString();
      if (!text) {
        return Forward(text);
      }
      strings.push_back(*std::move(text));
    }
    array.values = std::move(strings);
    return {};
  }

  Cursor& cursor_;
  uint64_t memory_ = 0;
};

}  // namespace

Result<Metadata> ReadMetadata(Cursor& cursor, uint64_t n_keys) {
  return MetadataReader(cursor).Read(n_keys);
}

uint32_t Alignment(const Metadata& metadata) {
  return metadata.U32Or(kKeyAlignment, kDefaultAlignment).value_or(kDefaultAlignment);
}

}  // namespace plimsoll::formats::gguf
