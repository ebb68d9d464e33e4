// The safetensors reader on whatever the fuzzer makes up: config.json, the index (which may be
// empty) and one or two shards, separated by kNextPart.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/invariant.h"
#include "formats/safetensors/reader.h"
#include "formats/summary.h"
#include "fuzz/catalogue_checks.h"
#include "fuzz/seeds.h"

using plimsoll::Invariant;
using plimsoll::formats::safetensors::Sources;
using plimsoll::io::File;

namespace {

// Takes what stands before the next separator.
std::string_view TakePart(std::string_view& input) {
  const size_t end = input.find(plimsoll::fuzz::kNextPart);
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size()
                                                    : end + plimsoll::fuzz::kNextPart.size());
  return part;
}

std::shared_ptr<const File> InMemory(std::string name, std::string_view bytes) {
  return File::FromBytes(std::move(name), std::as_bytes(std::span(bytes))).value();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Sources sources;
  sources.model_name = "fuzzed";
  sources.config = InMemory("config.json", TakePart(input));
  const std::string_view index = TakePart(input);
  if (!index.empty()) {
    auto weight_map = plimsoll::formats::safetensors::ReadIndex(*InMemory("index.json", index));
    if (!weight_map) {
      plimsoll::fuzz::CheckError(weight_map.error());
      return 0;
    }
    for (const auto& [tensor, file] : *weight_map) {
      Invariant(file.find('/') == std::string::npos && file.front() != '.',
                "an index names files of its own folder only");
    }
    sources.weight_map = *std::move(weight_map);
  }
  sources.shards.push_back(InMemory("a", TakePart(input)));
  if (!input.empty()) {
    sources.shards.push_back(InMemory("b", TakePart(input)));
  }
  const auto catalogue = plimsoll::formats::safetensors::Read(sources);
  if (!catalogue) {
    plimsoll::fuzz::CheckError(catalogue.error());
    return 0;
  }
  plimsoll::fuzz::CheckCatalogue(*catalogue);
  (void)plimsoll::formats::Summarise(*catalogue);
  return 0;
}
