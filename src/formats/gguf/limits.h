// What a GGUF file may hold. The file is hostile: each limit is checked before anything is
// allocated for what it bounds, so reading a header takes time and memory in proportion to the file
// and never more than kMaxMemory.
//
// Layout after the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace plimsoll::formats::gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr uint32_t kOldestVersion = 2;
inline constexpr uint32_t kNewestVersion = 3;

inline constexpr uint64_t kMaxKeys = 65'536;
inline constexpr uint64_t kMaxTensors = 262'144;
inline constexpr uint64_t kMaxArrayElements = uint64_t{1} << 24;
inline constexpr uint64_t kMaxKeyBytes = 65'535;
inline constexpr uint64_t kMaxTensorNameBytes = 64;
inline constexpr uint64_t kMaxStringBytes = 16 * kMiB;
inline constexpr uint64_t kMaxHeaderBytes = 512 * kMiB;  // metadata and tensor table, in the file
inline constexpr uint64_t kMaxMemory = 256 * kMiB;       // metadata values, once read
inline constexpr uint32_t kMaxParts = 1024;              // of a split model; each keeps a file open

inline constexpr uint32_t kDefaultAlignment = 32;
inline constexpr uint32_t kMinAlignment = 8;
inline constexpr uint32_t kMaxAlignment = 1 << 20;

inline constexpr std::string_view kKeyAlignment = "general.alignment";
inline constexpr std::string_view kKeyArchitecture = "general.architecture";
inline constexpr std::string_view kKeyName = "general.name";
inline constexpr std::string_view kKeySplitNo = "split.no";  // counted from 0
inline constexpr std::string_view kKeySplitCount = "split.count";
inline constexpr std::string_view kKeySplitTensors = "split.tensors.count";  // of all parts

}  // namespace plimsoll::formats::gguf
