#include "cli/verify_report.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/console.h"

namespace plimsoll::cli {
namespace {

using formats::packed::DamagedPart;
using formats::packed::DamagedPiece;
using formats::packed::kNProjections;
using formats::packed::ProjectionName;

constexpr size_t kLinesMax = 20;
constexpr size_t kTensorsMax = 4;

std::string_view PartName(const DamagedPart& part) {
  return part.projection < kNProjections ? ProjectionName(part.projection) : "padding";
}

std::string Describe(const DamagedPart& part) {
  return fmt::format("layer {}, expert {}: {} is damaged (at byte {})", part.layer, part.expert,
                     PartName(part), part.offset);
}

std::string Describe(const DamagedPiece& piece, const ModelReport& report) {
  std::string text = fmt::format("{}: bytes {} to {} differ", report.files[piece.file_idx].name,
                                 piece.offset, piece.offset + piece.bytes);
  for (size_t i = 0; i < std::min(piece.tensors.size(), kTensorsMax); ++i) {
    text += fmt::format("{} {}", i == 0 ? ":" : ",", piece.tensors[i]);
  }
  if (piece.tensors.size() > kTensorsMax) {
    text += fmt::format(" and {} more tensors", piece.tensors.size() - kTensorsMax);
  }
  return text;
}

// The first ones, and how many there are besides.
template <class T, class DescribeFn>
std::string Lines(const std::vector<T>& found, const DescribeFn& describe) {
  std::string text;
  for (size_t i = 0; i < std::min(found.size(), kLinesMax); ++i) {
    text += TerminalSafe(describe(found[i])) + '\n';
  }
  if (found.size() > kLinesMax) {
    text += fmt::format("and {} more (--json lists all)\n", found.size() - kLinesMax);
  }
  return text;
}

bool IsHashWanted(const ModelReport& report) {
  return report.wanted_xxh128 || report.wanted_sha256;
}

// Nothing when the hashes that were asked for are those of the one file.
std::optional<std::string> HashProblem(const ModelReport& report) {
  if (!IsHashWanted(report)) {
    return std::nullopt;
  }
  if (report.files.size() != 1) {
    return fmt::format("a hash is of one file, and this model has {}", report.files.size());
  }
  const ModelReport::File& file = report.files.front();
  const auto differs = [&](std::string_view name, const std::string& has,
                           const std::string& wanted) {
    return fmt::format("{} has the {} {}, not {}; fetch it again", file.name, name, has, wanted);
  };
  if (report.wanted_xxh128 && *report.wanted_xxh128 != file.xxh128) {
    return differs("XXH3-128", file.xxh128, *report.wanted_xxh128);
  }
  if (report.wanted_sha256 && *report.wanted_sha256 != file.sha256) {
    return differs("SHA-256", file.sha256, *report.wanted_sha256);
  }
  return std::nullopt;
}

}  // namespace

std::string VerifyText(const PackedReport& report) {
  std::string text = Lines(report.damaged, [](const DamagedPart& part) { return Describe(part); });
  const std::string name = TerminalSafe(report.path.string());
  if (report.damaged.empty()) {
    text += fmt::format("{}: {} experts, {}: all checksums are right\n", name, report.n_experts,
                        FormatBytes(report.bytes));
  }
  const std::string model = TerminalSafe(report.model.string());
  if (!report.model_is_there) {
    text += fmt::format("{} is not there: whether it is of that model was not looked at\n", model);
  } else if (!report.mismatch) {
    text += fmt::format("it belongs to {}\n", model);
  }
  return text;
}

std::string VerifyText(const ModelReport& report) {
  std::string text;
  for (const ModelReport::File& file : report.files) {
    text +=
        fmt::format("{}  {}  {}\n", file.xxh128, TerminalSafe(file.name), FormatBytes(file.bytes));
  }
  text += Lines(report.damaged, [&](const DamagedPiece& piece) { return Describe(piece, report); });
  const std::string packed = TerminalSafe(report.packed.string());
  if (!report.packed_is_there && !IsHashWanted(report)) {
    text += fmt::format("XXH3-128, as xxhsum -H2 has it; there is no {} to compare with\n", packed);
  } else if (report.packed_is_there && !report.mismatch && report.damaged.empty()) {
    text += fmt::format("every byte is what {} was packed from\n", packed);
  }
  if (IsHashWanted(report) && !HashProblem(report)) {
    text += "the hash is the one that was given\n";
  }
  return text;
}

std::string VerifyJson(const PackedReport& report) {
  JsonText json;
  json.BeginObject().Key("packed").String(report.path.string());
  json.Key("ok").Bool(Verdict(report).has_value());
  json.Key("bytes").Number(report.bytes).Key("experts").Number(report.n_experts);
  json.Key("damaged").BeginArray();
  for (const DamagedPart& part : report.damaged) {
    json.BeginObject().Key("layer").Number(part.layer).Key("expert").Number(part.expert);
    json.Key("part").String(PartName(part)).Key("offset").Number(part.offset).EndObject();
  }
  json.EndArray().Key("model");
  if (report.model_is_there) {
    json.String(report.model.string());
  } else {
    json.Null();
  }
  json.Key("mismatch");
  report.mismatch ? json.String(*report.mismatch) : json.Null();
  json.EndObject();
  return json.text() + '\n';
}

std::string VerifyJson(const ModelReport& report) {
  JsonText json;
  json.BeginObject().Key("files").BeginArray();
  for (const ModelReport::File& file : report.files) {
    json.BeginObject().Key("name").String(file.name).Key("bytes").Number(file.bytes);
    json.Key("xxh128").String(file.xxh128);
    if (!file.sha256.empty()) {
      json.Key("sha256").String(file.sha256);
    }
    json.EndObject();
  }
  json.EndArray().Key("ok").Bool(Verdict(report).has_value());
  json.Key("packed");
  if (report.packed_is_there) {
    json.String(report.packed.string());
  } else {
    json.Null();
  }
  json.Key("mismatch");
  report.mismatch ? json.String(*report.mismatch) : json.Null();
  json.Key("damaged").BeginArray();
  for (const DamagedPiece& piece : report.damaged) {
    json.BeginObject().Key("file").String(report.files[piece.file_idx].name);
    json.Key("offset").Number(piece.offset).Key("bytes").Number(piece.bytes);
    json.Key("tensors").BeginArray();
    for (const std::string& tensor : piece.tensors) {
      json.String(tensor);
    }
    json.EndArray().EndObject();
  }
  json.EndArray().EndObject();
  return json.text() + '\n';
}

Result<> Verdict(const PackedReport& report) {
  if (!report.damaged.empty()) {
    return Fail(ErrorKind::kBadModel,
                "{}: {} damaged; delete it and pack the model again, and look at the disk",
                report.path.string(),
                report.damaged.size() == 1
                    ? "a part of it is"
                    : fmt::format("{} parts of it are", report.damaged.size()));
  }
  if (report.mismatch) {
    return Fail(ErrorKind::kBadModel, "{}", *report.mismatch);
  }
  return {};
}

Result<> Verdict(const ModelReport& report) {
  if (auto problem = HashProblem(report)) {
    return Fail(report.files.size() == 1 ? ErrorKind::kBadModel : ErrorKind::kUsage, "{}",
                *problem);
  }
  if (report.mismatch) {
    return Fail(ErrorKind::kBadModel, "{}", *report.mismatch);
  }
  if (!report.damaged.empty()) {
    return Fail(ErrorKind::kBadModel,
                "{} is not what {} was packed from. If it was not replaced on purpose it is "
                "damaged: fetch it again",
                report.files[report.damaged.front().file_idx].name, report.packed.string());
  }
  return {};
}

}  // namespace plimsoll::cli
