#include "cli/doctor.h"

#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/bytes.h"
#include "base/json_text.h"
#include "cli/command_line.h"
#include "cli/console.h"
#include "cli/find_model.h"

namespace plimsoll::cli {
namespace {

using bench::MachineReport;

constexpr size_t kReportWidth = 88;
constexpr size_t kLabelWidth = 15;

// "label          value", the value broken between words.
class ReportLines {
 public:
  void Heading(std::string_view heading) {
    text_ += fmt::format("{}{}\n", text_.empty() ? "" : "\n", heading);
  }
  template <class... Args>
  void Add(std::string_view label, fmt::format_string<Args...> format, Args&&... args) {
    Wrap(fmt::format("  {:<{}}", label, kLabelWidth),
         fmt::format(format, std::forward<Args>(args)...), 2 + kLabelWidth);
  }
  void Item(std::string_view sentence) { Wrap("  - ", sentence, 4); }
  [[nodiscard]] std::string Take() { return std::move(text_); }

 private:
  void Wrap(std::string line, std::string_view words, size_t indent) {
    bool is_first = true;
    while (!words.empty()) {
      const size_t end = std::min(words.find(' '), words.size());
      if (!is_first && line.size() + 1 + end > kReportWidth) {
        text_ += line + '\n';
        line.assign(indent, ' ');
        is_first = true;
      }
      line += is_first ? "" : " ";
      line += words.substr(0, end);
      is_first = false;
      words.remove_prefix(std::min(end + 1, words.size()));
    }
    text_ += line + '\n';
  }

  std::string text_;
};

void AddProcessor(const MachineReport& report, ReportLines& lines) {
  lines.Heading("Processor");
  lines.Add("name", "{}", report.processor.empty() ? "not named" : report.processor);
  lines.Add("cores", "{} usable of {}", report.cores.n_usable, report.cores.processors.size());
  lines.Add("features", "{}",
            report.features.empty() ? "none that matter here"
                                    : fmt::format("{}", fmt::join(report.features, ", ")));
  for (const MachineReport::Kernels& set : report.kernels) {
    if (set.chosen) {
      lines.Add("kernels", "{} ({})", set.name, set.description);
    }
  }
  if (report.peak) {
    lines.Add("arithmetic", "{:.0f} G multiply-adds of 8-bit integers a second, {:.0f} G of floats",
              report.peak->int8_dots / 1e9, report.peak->fmas / 1e9);
  }
}

void AddMemory(const MachineReport& report, ReportLines& lines) {
  lines.Heading("Memory");
  lines.Add("machine", "{}, {} of it available", FormatBytes(report.memory.total),
            FormatBytes(report.memory.available));
  if (report.memory.cgroup_limit) {
    lines.Add("control group", "{}, {} of it used", FormatBytes(*report.memory.cgroup_limit),
              FormatBytes(report.memory.cgroup_used));
  } else {
    lines.Add("control group", "no limit");
  }
  lines.Add("--memory", "{} when it is not given", FormatBytes(report.default_line));
  if (report.peak) {
    lines.Add("bandwidth", "{:.1f} GB/s of reading with {} threads", report.peak->read_bytes / 1e9,
              report.cores.n_usable);
  } else if (!report.peak_not_measured.empty()) {
    lines.Add("bandwidth", "not measured: {}", report.peak_not_measured);
  }
  if (report.pressure) {
    lines.Add("pressure", "{:.1f} % of the last ten seconds something waited for memory",
              report.pressure->some_percent);
  } else {
    lines.Add("pressure", "not counted by this kernel");
  }
  const auto& huge = report.huge_pages;
  lines.Add("huge pages", "{}",
            huge.transparent == "always"    ? "for all"
            : huge.transparent == "madvise" ? "for those who ask (Plimsoll does)"
            : huge.transparent == "never"   ? "off"
                                            : "none in this kernel");
  const auto& locked = report.limits.locked_bytes;
  lines.Add("lockable", "{}",
            report.limits.may_pass_locked ? "all (CAP_IPC_LOCK)"
            : locked                      ? FormatBytes(*locked)
                                          : "all");
}

void AddDisk(const MachineReport& report, ReportLines& lines) {
  lines.Heading("Disk");
  lines.Add("of", "{} ({})", report.disk_path.string(), report.file_system);
  lines.Add("direct I/O", "{}",
            !report.direct   ? "not tried"
            : *report.direct ? "yes"
                             : "refused: reads go through the page cache");
  if (report.uring_refused) {
    lines.Add("io_uring", "refused: {}", *report.uring_refused);
  } else {
    lines.Add("io_uring", "yes");
  }
  if (report.disk) {
    lines.Add("bandwidth", "{:.2f} GB/s over a second, {:.2f} at best",
              report.disk->sustained / 1e9, report.disk->Peak() / 1e9);
    uint64_t page = 0;
    std::string row;
    for (const io::DiskSpeed::Cell& cell : report.disk->cells) {
      if (cell.page_bytes != page) {
        if (!row.empty()) {
          lines.Add(FormatBytes(page), "{}", row);
        }
        page = cell.page_bytes;
        row.clear();
      }
      row += fmt::format("{}{:.2f} GB/s x{}", row.empty() ? "" : ", ", cell.bytes_per_second / 1e9,
                         cell.depth);
    }
    lines.Add(FormatBytes(page), "{}", row);
  } else if (!report.disk_not_measured.empty()) {
    lines.Add("bandwidth", "not measured: {}", report.disk_not_measured);
  }
}

JsonText& Optional(JsonText& json, std::string_view key, const auto& value) {
  json.Key(key);
  return value ? json.Number(*value) : json.Null();
}

void WriteProcessor(const MachineReport& report, JsonText& json) {
  json.Key("processor").BeginObject().Key("name").String(report.processor);
  json.Key("features").BeginArray();
  for (const std::string& feature : report.features) {
    json.String(feature);
  }
  json.EndArray().Key("cores").Number(report.cores.processors.size());
  json.Key("cores_usable").Number(report.cores.n_usable);
  json.Key("kernels").BeginArray();
  for (const MachineReport::Kernels& set : report.kernels) {
    json.BeginObject().Key("name").String(set.name).Key("supported").Bool(set.supported);
    json.Key("chosen").Bool(set.chosen).EndObject();
  }
  json.EndArray();
  if (report.peak) {
    json.Key("int8_dots_per_second").Number(report.peak->int8_dots);
    json.Key("fmas_per_second").Number(report.peak->fmas);
  }
  json.EndObject();
}

void WriteMemory(const MachineReport& report, JsonText& json) {
  json.Key("memory").BeginObject().Key("bytes").Number(report.memory.total);
  json.Key("available_bytes").Number(report.memory.available);
  Optional(json, "cgroup_limit_bytes", report.memory.cgroup_limit);
  json.Key("cgroup_used_bytes").Number(report.memory.cgroup_used);
  json.Key("default_line_bytes").Number(report.default_line);
  json.Key("read_bytes_per_second");
  report.peak ? json.Number(report.peak->read_bytes) : json.Null();
  json.Key("pressure");
  if (report.pressure) {
    json.BeginObject().Key("some_percent").Number(report.pressure->some_percent);
    json.Key("full_percent").Number(report.pressure->full_percent).EndObject();
  } else {
    json.Null();
  }
  json.Key("transparent_huge_pages").String(report.huge_pages.transparent);
  Optional(json, "lockable_bytes", report.limits.locked_bytes);
  json.Key("may_pass_lockable").Bool(report.limits.may_pass_locked);
  Optional(json, "address_space_bytes", report.limits.address_bytes);
  json.Key("open_files_max").Number(report.limits.open_files).EndObject();
}

void WriteDisk(const MachineReport& report, JsonText& json) {
  json.Key("disk").BeginObject().Key("path").String(report.disk_path.string());
  json.Key("file_system").String(report.file_system).Key("direct_io");
  report.direct ? json.Bool(*report.direct) : json.Null();
  json.Key("io_uring").Bool(!report.uring_refused.has_value());
  if (report.uring_refused) {
    json.Key("io_uring_refused").String(*report.uring_refused);
  }
  if (report.disk) {
    json.Key("sustained_bytes_per_second").Number(report.disk->sustained);
    json.Key("peak_bytes_per_second").Number(report.disk->Peak()).Key("measured").BeginArray();
    for (const io::DiskSpeed::Cell& cell : report.disk->cells) {
      json.BeginObject().Key("page_bytes").Number(cell.page_bytes);
      json.Key("depth").Number(cell.depth);
      json.Key("bytes_per_second").Number(cell.bytes_per_second).EndObject();
    }
    json.EndArray();
  } else if (!report.disk_not_measured.empty()) {
    json.Key("not_measured").String(report.disk_not_measured);
  }
  json.EndObject();
}

}  // namespace

std::string DoctorText(const MachineReport& report) {
  ReportLines lines;
  AddProcessor(report, lines);
  AddMemory(report, lines);
  AddDisk(report, lines);
  lines.Heading("What to change");
  const auto advice = bench::AdviceOn(report);
  for (const std::string& sentence : advice) {
    lines.Item(sentence);
  }
  if (advice.empty()) {
    lines.Item("Nothing: all that Plimsoll can use is there.");
  }
  return TerminalSafe(lines.Take());
}

std::string DoctorJson(const MachineReport& report) {
  JsonText json;
  json.BeginObject();
  WriteProcessor(report, json);
  WriteMemory(report, json);
  WriteDisk(report, json);
  json.Key("advice").BeginArray();
  for (const std::string& sentence : bench::AdviceOn(report)) {
    json.String(sentence);
  }
  json.EndArray().EndObject();
  return json.text() + '\n';
}

Result<> DoctorCommand(std::vector<std::string> args, const CommandContext& context) {
  bench::MachineReportOptions options;
  std::optional<std::string> model;
  bool quick = false;
  bool json = false;
  CommandLine line(
      "doctor",
      "Print what this machine offers to models that are bigger than its memory, and what to\n"
      "change. Bandwidths are measured once and remembered for 30 days: of memory, and of the\n"
      "disk that the model is on. Without a model it is the cache folder's disk, on which a\n"
      "file of 256 MiB is written and removed.",
      "plimsoll doctor [options]");
  std::vector<std::filesystem::path> folders;
  line.Text("-m,--model", "MODEL", "judge the disk that this model is on", model);
  AddModelsDirOption(line, folders);
  line.Flag("--quick", "measure nothing", quick);
  line.Flag("--anew", "measure again what is remembered", options.anew);
  line.Flag("--json", "one JSON object", json);
  if (auto over = ParseOrHelp(line, std::move(args), context.console, context.sources)) {
    return *std::move(over);
  }
  options.measure = !quick;
  if (auto found = FindModel(model, folders, context); !found) {
    return found;
  }
  if (model) {
    options.model = *model;
  }
  auto report = bench::GatherMachineReport(options);
  if (!report) {
    return Forward(report);
  }
  return context.console.Write(json ? DoctorJson(*report) : DoctorText(*report));
}

}  // namespace plimsoll::cli
