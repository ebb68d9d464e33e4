// The GGUF reader on whatever the fuzzer makes up: it must neither crash nor accept a file whose
// tensors do not lie inside it. Several parts of a split are separated by kNextPart.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/checked.h"
#include "base/invariant.h"
#include "formats/gguf/reader.h"
#include "formats/gguf/writer.h"
#include "formats/summary.h"
#include "fuzz/catalogue_checks.h"
#include "fuzz/seeds.h"

using plimsoll::Invariant;
using plimsoll::formats::Catalogue;
using plimsoll::formats::gguf::EncodeHeader;
using plimsoll::formats::gguf::Read;
using plimsoll::formats::gguf::TensorDeclaration;
using plimsoll::io::File;

namespace {

std::vector<std::shared_ptr<const File>> Parts(std::string_view input) {
  std::vector<std::shared_ptr<const File>> parts;
  for (;;) {
    const size_t end = input.find(plimsoll::fuzz::kNextPart);
    parts.push_back(
        File::FromBytes("part", std::as_bytes(std::span(input.substr(0, end)))).value());
    if (end == std::string_view::npos) {
      return parts;
    }
    input.remove_prefix(end + plimsoll::fuzz::kNextPart.size());
  }
}

// What was read can be written, and then says the same.
void CheckRoundTrip(const Catalogue& catalogue) {
  std::vector<TensorDeclaration> tensors;
  for (const auto& tensor : catalogue.tensors()) {
    tensors.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  const auto header = EncodeHeader(catalogue.metadata, tensors);
  Invariant(header.has_value(), "what was read can be written");
  std::string bytes = header->bytes;
  for (const uint64_t tensor_bytes : header->tensor_bytes) {
    bytes.resize(plimsoll::AlignUp<uint64_t>(bytes.size() + tensor_bytes, header->alignment));
  }
  const auto again = Read(File::FromBytes("again", std::as_bytes(std::span(bytes))).value());
  Invariant(again.has_value(), "what the writer writes can be read");
  Invariant(again->metadata.keys() == catalogue.metadata.keys(), "the keys are the same");
  Invariant(again->tensors().size() == tensors.size(), "the tensors are the same");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  auto parts = Parts(input);
  const size_t n_parts = parts.size();
  const auto catalogue = Read(std::move(parts));
  if (!catalogue) {
    plimsoll::fuzz::CheckError(catalogue.error());
    return 0;
  }
  plimsoll::fuzz::CheckCatalogue(*catalogue);
  (void)plimsoll::formats::Summarise(*catalogue);
  if (n_parts == 1) {  // a lone file must not say that it is one part of several
    CheckRoundTrip(*catalogue);
  }
  return 0;
}
