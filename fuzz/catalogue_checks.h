// What holds for every catalogue and every error that a parser returns.
#pragma once

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <vector>

#include "base/invariant.h"
#include "formats/catalogue.h"

namespace plimsoll::fuzz {

inline void CheckError(const Error& error) {
  Invariant(error.kind == ErrorKind::kBadModel, "a bad file is a kBadModel");
  Invariant(!error.message.empty(), "an error says something");
  const bool printable = std::ranges::all_of(
      error.message, [](char c) { return c == '\n' || static_cast<unsigned char>(c) >= 0x20; });
  Invariant(printable, "an error cannot steer the terminal");
}

inline void CheckCatalogue(const formats::Catalogue& catalogue) {
  std::vector<std::tuple<uint32_t, uint64_t, uint64_t>> ranges;
  for (const formats::TensorEntry& tensor : catalogue.tensors()) {
    Invariant(catalogue.Find(tensor.name) != nullptr, "a tensor is found by its name");
    Invariant(tensor::BytesFor(tensor.dtype, tensor.shape.Elements()) == tensor.bytes,
              "a tensor's bytes follow from its type and shape");
    uint64_t bytes = 0;
    for (const formats::FileRange& range : tensor.ranges) {
      Invariant(range.file_idx < catalogue.files.size(), "a range is of one of the files");
      const uint64_t size = catalogue.files[range.file_idx]->size();
      Invariant(range.offset <= size && range.bytes <= size - range.offset,
                "a range lies inside its file");
      bytes += range.bytes;
      ranges.emplace_back(range.file_idx, range.offset, range.offset + range.bytes);
    }
    if (tensor.conversion == nullptr) {
      Invariant(bytes == tensor.bytes, "a tensor's ranges hold its bytes");
      continue;
    }
    Invariant(tensor.ranges.empty(), "a tensor is in ranges or made");
    std::vector<std::byte> piece(std::min<uint64_t>(tensor.bytes, 4096));
    Invariant(catalogue.Read(tensor, tensor.bytes - piece.size(), piece).has_value(),
              "what a tensor is made of can be read");
  }
  std::ranges::sort(ranges);
  for (size_t i = 1; i < ranges.size(); ++i) {
    const auto& [before_file, before_begin, before_end] = ranges[i - 1];
    const auto& [file, begin, end] = ranges[i];
    Invariant(before_file != file || before_end <= begin, "ranges do not overlap");
  }
}

}  // namespace plimsoll::fuzz
