#include "cli/verify.h"

#include <algorithm>
#include <cctype>

#include "cli/command_line.h"
#include "cli/long_work.h"
#include "cli/verify_report.h"

namespace plimsoll::cli {
namespace {

namespace fs = std::filesystem;
using formats::packed::kSuffix;
using formats::packed::PackedFile;

struct VerifyFlags {
  std::optional<std::string> path;
  std::optional<std::string> xxh128;
  bool json = false;
  bool quiet = false;
};

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<bool> IsPackedFile(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    return false;
  }
  auto file = io::File::Open(path);
  if (!file) {
    return Forward(file);
  }
  return formats::packed::HasMagic(**file);
}

// The model that a packed file lies beside, by its name.
fs::path ModelBeside(const fs::path& packed) {
  std::string path = packed.string();
  if (path.ends_with(kSuffix)) {
    path.resize(path.size() - kSuffix.size());
  }
  return path;
}

// Why it does not belong to the model beside it.
std::optional<std::string> Mismatch(const PackedFile& packed, const fs::path& model) {
  const auto catalogue = formats::OpenModel(model);
  if (!catalogue) {
    return catalogue.error().message;
  }
  const auto same = packed.MatchesSource(*catalogue);
  return same ? std::nullopt : std::optional(same.error().message);
}

Result<PackedReport> VerifyPacked(const fs::path& path,
                                  const formats::packed::VerifyOptions& options) {
  const auto packed = PackedFile::Open(path);
  if (!packed) {
    return tl::unexpected<Error>(packed.error());
  }
  PackedReport report;
  report.path = path;
  report.bytes = packed->file()->size();
  report.n_experts = packed->n_records();
  report.model = ModelBeside(path);
  report.model_is_there = report.model != path && Exists(report.model);
  if (report.model_is_there) {
    report.mismatch = Mismatch(*packed, report.model);
  }
  auto damaged = formats::packed::VerifyRecords(*packed, options);
  if (!damaged) {
    return Forward(damaged);
  }
  report.damaged = *std::move(damaged);
  return report;
}

Result<ModelReport> VerifyModel(const fs::path& path,
                                const formats::packed::VerifyOptions& options) {
  const auto catalogue = formats::OpenModel(path);
  if (!catalogue) {
    return tl::unexpected<Error>(catalogue.error());
  }
  ModelReport report;
  report.packed = formats::packed::PathBeside(catalogue->files.front()->path());
  report.packed_is_there = Exists(report.packed);
  std::optional<PackedFile> packed;
  if (report.packed_is_there) {
    auto opened = PackedFile::Open(report.packed);
    const auto same = opened ? opened->MatchesSource(*catalogue)
                             : Result<>(tl::unexpected<Error>(opened.error()));
    if (same) {
      packed = *std::move(opened);
    } else {
      report.mismatch = same.error().message;
    }
  }
  auto contents = formats::packed::VerifyModel(*catalogue, packed ? &*packed : nullptr, options);
  if (!contents) {
    return Forward(contents);
  }
  for (size_t i = 0; i < catalogue->files.size(); ++i) {
    report.files.push_back(
        {catalogue->files[i]->name(), catalogue->files[i]->size(), io::Hex(contents->digests[i])});
  }
  report.damaged = std::move(contents->damaged);
  return report;
}

// What was found is printed, then its verdict is the command's.
template <class Report>
Result<> Tell(const Report& report, bool json, const Console& console) {
  if (auto written = console.Write(json ? VerifyJson(report) : VerifyText(report)); !written) {
    return written;
  }
  return Verdict(report);
}

Result<> Verify(const VerifyFlags& flags, bool is_packed, const CommandContext& context) {
  const fs::path path = *flags.path;
  std::optional<LongWork> work(std::in_place, "verifying", path.filename().string(), flags.quiet,
                               context);
  const formats::packed::VerifyOptions options = {
      .stream = {}, .on_progress = work->on_progress(), .is_stopped = work->is_stopped()};
  if (is_packed) {
    const auto report = VerifyPacked(path, options);
    work.reset();
    return report ? Tell(*report, flags.json, context.console)
                  : tl::unexpected<Error>(report.error());
  }
  auto report = VerifyModel(path, options);
  work.reset();
  if (!report) {
    return Forward(report);
  }
  report->wanted = flags.xxh128;
  return Tell(*report, flags.json, context.console);
}

bool IsHex128(std::string_view text) {
  return text.size() == 32 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace

Result<> VerifyCommand(std::vector<std::string> args, const CommandContext& context) {
  VerifyFlags flags;
  CommandLine line("verify",
                   "Read all of a file and compare it with its checksums. A packed file\n"
                   "(MODEL.plimsoll) has one for each expert's matrix; a model is compared with\n"
                   "the hashes in the packed file beside it, or its hashes are printed.",
                   "plimsoll verify [options] FILE");
  line.Text("-m,--model", "PATH", "the same as FILE", flags.path);
  line.Positional("FILE", "a packed file; or a model: its file, a split's first part, or a folder",
                  flags.path);
  line.Option("--xxh128", "HEX", "the XXH3-128 that a model in one file must have",
              [&flags](const std::string& value) -> Result<> {
                if (!IsHex128(value)) {
                  return Fail(ErrorKind::kUsage, "\"{}\" is not 32 hexadecimal digits", value);
                }
                flags.xxh128 = value;
                std::ranges::transform(*flags.xxh128, flags.xxh128->begin(), [](unsigned char c) {
                  return static_cast<char>(std::tolower(c));
                });
                return {};
              });
  line.Flag("--json", "one JSON object", flags.json);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
  auto outcome = line.Parse(std::move(args));
  if (!outcome) {
    return Forward(outcome);
  }
  if (*outcome == CommandLine::Outcome::kHelp) {
    return context.console.Write(line.Help());
  }
  if (!flags.path || flags.path->empty()) {
    return Fail(ErrorKind::kUsage, "which file? Give the path of a packed file or a model");
  }
  const auto is_packed = IsPackedFile(*flags.path);
  if (!is_packed) {
    return tl::unexpected<Error>(is_packed.error());
  }
  if (*is_packed && flags.xxh128) {
    return Fail(ErrorKind::kUsage, "--xxh128 is for models; a packed file has its own checksums");
  }
  return Verify(flags, *is_packed, context);
}

}  // namespace plimsoll::cli
