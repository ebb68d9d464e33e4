#include "cli/verify.h"

#include <algorithm>
#include <cctype>

#include "cli/command_line.h"
#include "cli/find_model.h"
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
  std::optional<std::string> sha256;
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
    report.files.push_back({.name = catalogue->files[i]->name(),
                            .bytes = catalogue->files[i]->size(),
                            .xxh128 = io::Hex(contents->digests[i]),
                            .sha256 = options.sha256 ? contents->sha256s[i] : ""});
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
  const formats::packed::VerifyOptions options = {.stream = {},
                                                  .sha256 = flags.sha256.has_value(),
                                                  .on_progress = work->on_progress(),
                                                  .is_stopped = work->is_stopped()};
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
  report->wanted_xxh128 = flags.xxh128;
  report->wanted_sha256 = flags.sha256;
  return Tell(*report, flags.json, context.console);
}

// A hash of `n_digits`, taken in any case.
void AddHash(CommandLine& line, std::string_view names, std::string_view help, size_t n_digits,
             std::optional<std::string>& target) {
  line.Option(names, "HEX", help, [&target, n_digits](const std::string& value) -> Result<> {
    const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
    if (value.size() != n_digits || !std::ranges::all_of(value, is_digit)) {
      return Fail(ErrorKind::kUsage, "\"{}\" is not {} hexadecimal digits", value, n_digits);
    }
    target = value;
    std::ranges::transform(*target, target->begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return {};
  });
}

}  // namespace

Result<> VerifyCommand(std::vector<std::string> args, const CommandContext& context) {
  VerifyFlags flags;
  CommandLine line("verify",
                   "Read all of a file and compare it with its checksums. A packed file\n"
                   "(MODEL.plimsoll) has one for each expert's matrix; a model is compared with\n"
                   "the hashes in the packed file beside it, or its hashes are printed.",
                   "plimsoll verify [options] FILE");
  std::vector<std::filesystem::path> folders;
  line.Text("-m,--model", "MODEL", "the same as FILE", flags.path);
  AddModelsDirOption(line, folders);
  line.Positional("FILE",
                  "a packed file; or a model: its file or folder, or a name that list shows",
                  flags.path);
  AddHash(line, "--sha256", "the SHA-256 that a model in one file must have", 64, flags.sha256);
  AddHash(line, "--xxh128", "the XXH3-128 that it must have; as fast as the disk", 32,
          flags.xxh128);
  line.Flag("--json", "one JSON object", flags.json);
  line.Flag("-q,--quiet", "say nothing on standard error but errors", flags.quiet);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  if (!flags.path || flags.path->empty()) {
    return Fail(ErrorKind::kUsage, "which file? Give the path of a packed file or a model");
  }
  if (auto found = FindModel(flags.path, folders, context); !found) {
    return found;
  }
  const auto is_packed = IsPackedFile(*flags.path);
  if (!is_packed) {
    return tl::unexpected<Error>(is_packed.error());
  }
  if (*is_packed && (flags.sha256 || flags.xxh128)) {
    return Fail(ErrorKind::kUsage,
                "--sha256 and --xxh128 are for models; a packed file has its own checksums");
  }
  return Verify(flags, *is_packed, context);
}

}  // namespace plimsoll::cli
