// What `plimsoll verify` found, as text and as JSON.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/packed/verify.h"

namespace plimsoll::cli {

struct PackedReport {
  std::filesystem::path path;
  uint64_t bytes = 0;
  uint32_t n_experts = 0;
  std::vector<formats::packed::DamagedPart> damaged;
  std::filesystem::path model;  // beside it
  bool model_is_there = false;
  std::optional<std::string> mismatch;  // why it does not belong to that model
};

struct ModelReport {
  struct File {
    std::string name;
    uint64_t bytes = 0;
    std::string xxh128;
    std::string sha256;  // empty: not computed
  };
  std::vector<File> files;
  std::filesystem::path packed;  // beside it
  bool packed_is_there = false;
  std::optional<std::string> mismatch;  // why its hashes are not for this model
  std::optional<std::string> wanted_xxh128;
  std::optional<std::string> wanted_sha256;
  std::vector<formats::packed::DamagedPiece> damaged;
};

[[nodiscard]] std::string VerifyText(const PackedReport& report);
[[nodiscard]] std::string VerifyText(const ModelReport& report);
// One object, and a newline.
[[nodiscard]] std::string VerifyJson(const PackedReport& report);
[[nodiscard]] std::string VerifyJson(const ModelReport& report);

// kBadModel when something is wrong, in one sentence with the next step.
[[nodiscard]] Result<> Verdict(const PackedReport& report);
[[nodiscard]] Result<> Verdict(const ModelReport& report);

}  // namespace plimsoll::cli
